package offer

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kvgauge/sim/method"
	"kvgauge/sim/record"
)

// maxAge is how long before the file was gone through an engine may have been seen. It is not held against today's date: a
// checkout does not begin to fail by itself, but whoever sets "reviewed" anew has to look at every engine again.
const maxAge = 90 * 24 * time.Hour

// day reads a date of the file.
func day(t *testing.T, what, text string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	return d
}

func TestEngines(t *testing.T) {
	reviewed := day(t, "reviewed", known.Reviewed)
	seen := map[string]bool{}
	for _, e := range known.Engines {
		if seen[e.Name] {
			t.Errorf("%s stands twice", e.Name)
		}
		seen[e.Name] = true
		if e.Title == "" || e.Version == "" || e.From == "" || strings.Count(e.Repository, "/") != 1 {
			t.Errorf("%s: title %q, version %q, from %q, repository %q: want all", e.Name, e.Title, e.Version, e.From, e.Repository)
		}
		at := day(t, e.Name, e.Seen)
		if at.After(reviewed) || reviewed.Sub(at) > maxAge {
			t.Errorf("%s was seen %s: want it within %d days before the file was gone through, %s", e.Name, e.Seen, maxAge/24/time.Hour, known.Reviewed)
		}
		if e.Released != "" && day(t, e.Name, e.Released).After(at) {
			t.Errorf("%s was released %s, after it was seen %s", e.Name, e.Released, e.Seen)
		}
		if !slices.ContainsFunc(known.Offers, func(o entry) bool { return o.Engine == e.Name }) {
			t.Errorf("%s offers nothing", e.Name)
		}
	}
}

// source is a path in a repository with what to look for in it, or an address; several are joined by commas.
var source = regexp.MustCompile(`^(https://[^ ]+|[\w.-]+(/[\w.-]+)* ?(\([\w.-]+(, [\w.-]+)*\))?(, [\w.-]+(/[\w.-]+)* ?(\([\w.-]+\))?)*)$`)

func TestOffers(t *testing.T) {
	lines := map[string]bool{}
	for _, o := range known.Offers {
		what := o.Engine + " " + o.Method
		if !slices.Contains(Names(), o.Engine) {
			t.Errorf("%s: unknown engine", what)
		}
		info, ok := method.Lookup(o.Method)
		if !ok {
			t.Errorf("%s: unknown method", what)
			continue
		}
		if o.Fit != Same && o.Fit != Like || o.Fit == Like && o.Note == "" {
			t.Errorf("%s: fit %q, note %q: want same, or like and a note of what differs", what, o.Fit, o.Note)
		}
		if !source.MatchString(o.Source) {
			t.Errorf("%s: source %q: want a path in the repository or an address", what, o.Source)
		}
		if o.Note != "" && !strings.HasSuffix(o.Note, ".") {
			t.Errorf("%s: note %q: want a sentence", what, o.Note)
		}
		spec := o.spec(info)
		if _, err := method.Parse([]string{spec}, []method.Entries{{Percent: 25}}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		var stage record.Stage = record.ParsePipeline(spec)[0]
		line, ok := o.line(info, stage, Asked{Kept: 0.25, Tokens: 1024})
		if !ok {
			t.Errorf("%s: the line is not for %s itself", what, spec)
		}
		if strings.Contains(line, "$") || strings.Contains(line, "=)") || strings.Contains(line, "=,") || strings.TrimSpace(line) != line || line == "" {
			t.Errorf("%s: %q: want every value filled in", what, line)
		}
		os.Expand(o.Line, func(name string) string {
			at := slices.IndexFunc(info.Params, func(p method.Param) bool { return p.Name == name })
			if name != evicted && name != keep && name != valueFormat && (at < 0 || info.Params[at].Default == "") {
				t.Errorf("%s: ${%s} has no value", what, name)
			}
			return ""
		})
		if key := o.Engine + spec; lines[key] {
			t.Errorf("%s: %s stands twice", what, spec)
		} else {
			lines[key] = true
		}
	}
}

// TestEveryMethod: of each method that could be recommended it is known who offers it, or that nobody does.
func TestEveryMethod(t *testing.T) {
	left := []method.Family{method.Baseline, method.Bound, method.Sharing, method.Latent}
	for _, info := range method.All() {
		offered := slices.ContainsFunc(known.Offers, func(o entry) bool { return o.Method == info.Name })
		missing := slices.ContainsFunc(known.Absent, func(a absent) bool { return a.Method == info.Name })
		switch {
		case slices.Contains(left, info.Family):
			if offered || missing {
				t.Errorf("%s is never recommended, and stands in the file", info.Name)
			}
		case offered == missing:
			t.Errorf("%s: offered %v, absent %v: want one of the two", info.Name, offered, missing)
		}
	}
	for _, a := range known.Absent {
		if _, ok := method.Lookup(a.Method); !ok || !strings.HasSuffix(a.Why, ".") {
			t.Errorf("%s: %q: want a method and a sentence", a.Method, a.Why)
		}
	}
}

func TestSwitches(t *testing.T) {
	for _, c := range []struct {
		pipeline, engine string
		kept             float64
		latent           bool
		want             string // empty: not offered
	}{
		{"fp8", "vllm", 1, false, "vllm serve MODEL --kv-cache-dtype fp8"},
		{"fp8", "vllm", 1, true, "vllm serve MODEL --kv-cache-dtype fp8"},
		{"fp8:format=e5m2", "vllm", 1, false, "vllm serve MODEL --kv-cache-dtype fp8_e5m2"},
		{"fp8:format=e5m2", "vllm", 1, true, ""},
		{"fp8:scale=token", "vllm", 1, false, ""},
		{"turboquant:preset=k8v4", "vllm", 1, false, "vllm serve MODEL --kv-cache-dtype turboquant_k8v4"},
		{"turboquant:boundary=0", "vllm", 1, false, ""},
		{"turboquant", "vllm", 1, true, ""},
		{"mx4", "sglang", 1, false, "python -m sglang.launch_server --model-path MODEL --kv-cache-dtype fp4_mx_block16"},
		{"mx4:block=32", "sglang", 1, false, ""},
		{"q4_0", "llama.cpp", 1, false, "llama-server -m MODEL -fa on -ctk q4_0 -ctv q4_0"},
		{"q4_0:rotate=off", "llama.cpp", 1, false, "LLAMA_ATTN_ROT_DISABLE=1 llama-server -m MODEL -fa on -ctk q4_0 -ctv q4_0"},
		{"q8_0:v=q4_0", "llama.cpp", 1, true, "llama-server -m MODEL -fa on -ctk q8_0 -ctv q4_0"},
		{"q8_0:v=fp8", "llama.cpp", 1, false, ""},
		{"iq4_nl", "llama.cpp", 1, false, "llama-server -m MODEL -fa on -ctk iq4_nl -ctv iq4_nl"},
		{"mlx:bits=8", "mlx-lm", 1, false, "mlx_lm.generate --model MODEL --kv-bits 8 --kv-group-size 64 --quantized-kv-start 0"},
		{"hqq:v=q4_0", "transformers", 1, false, ""},
		{"openvino", "openvino-genai", 1, false, "LLMPipeline(MODEL, 'CPU', {openvino.properties.hint.kv_cache_precision: openvino.Type.u8})"},
		{"snapkv:budget=25%", "kvpress", 0.25, false, "pipeline('kv-press-text-generation', model=MODEL)(context, question=question, press=SnapKVPress(compression_ratio=0.75, window_size=8, kernel_size=7))"},
		{"snapkv:budget=25%,window=64", "kvpress", 0.25, false, "pipeline('kv-press-text-generation', model=MODEL)(context, question=question, press=SnapKVPress(compression_ratio=0.75, window_size=64, kernel_size=7))"},
		{"snapkv:budget=25%,scope=all", "kvpress", 0.25, false, ""},
		{"snapkv", "kvpress", 0.1, false, "pipeline('kv-press-text-generation', model=MODEL)(context, question=question, press=SnapKVPress(compression_ratio=0.9, window_size=8, kernel_size=7))"}, // of an equal-bytes run
		{"streamingllm:budget=10%", "mlx-lm", 0.1, false, "mlx_lm.generate --model MODEL --max-kv-size 3277"},
		{"kivi:bits=4", "transformers", 1, false, ""}, // what it has is quanto
		{"int4", "mlx-lm", 1, false, ""},              // and mlx
		{"q8_0+snapkv:budget=25%", "kvpress", 0.25, false, ""},
		{"theirs", "kvpress", 1, false, ""},
	} {
		got := ""
		for _, s := range Switches(Asked{c.pipeline, c.kept, 32768, c.latent}) {
			if s.Engine == c.engine {
				got = s.Line
				break
			}
		}
		if got != c.want {
			t.Errorf("%s at %s, latent %v: %q, want %q", c.pipeline, c.engine, c.latent, got, c.want)
		}
	}
	if s := Switches(Asked{Pipeline: "streamingllm:budget=25%", Kept: 0.25, Tokens: 4096}); s[0].Engine != "mlx-lm" || s[0].Fit != Same || s[len(s)-1].Fit != Like {
		t.Errorf("want the engines that have it the same way first, got %v", s)
	}
	for pipeline, want := range map[string]string{
		"corm":                   "None of the engines has it.",
		"q8_0+snapkv":            "No engine is known to join these methods.",
		"fp8:scale=token":        "Engines offer fp8, but not with these parameters or for this model.",
		"theirs":                 "None of the engines has it.",
		"kvarn:preset=k4v4_g128": "vLLM has it in the authors' branch alone.",
	} {
		if got := Absence(pipeline); got != want {
			t.Errorf("%s: %q, want %q", pipeline, got, want)
		}
	}
}
