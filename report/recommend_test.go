package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kvgauge/sim/record"
)

// on is a record of a trace and length, of 1000 bytes of the full cache.
func on(trace string, seqLen int, pipeline, family string, cache int64, err float64) record.Record {
	r := measured(pipeline, family, cache, err)
	r.Trace, r.TraceSHA256, r.SeqLen, r.Decode, r.Windows = trace, trace, seqLen, 16, 1
	return r
}

// share is a bound.
func share(v float64) *float64 { return &v }

func TestRecommend(t *testing.T) {
	one := []record.Record{
		on("a", 64, "full", "baseline", 1000, 0),
		on("a", 64, "oracle:budget=25%", "bound", 250, 0.01),
		on("a", 64, "mqa", "sharing", 125, 0.02),
		on("a", 64, "fp8", "quantisation", 500, 0.04),
		on("a", 64, "int8", "quantisation", 504, 0.02),
		on("a", 64, "q4_0", "quantisation", 280, 0.1),
		on("a", 64, "snapkv:budget=25%", "eviction", 250, 0.2),
		on("a", 64, "corm", "eviction", 300, 0.049),
		on("a", 64, "quest:budget=25%", "selection", 1000, 0.001),
	}
	skipped := on("b", 64, "q4_0", "quantisation", 280, 0.1)
	skipped.Status, skipped.Error, skipped.CacheBytes = record.Skipped, nil, nil
	two := append(one[:len(one):len(one)],
		on("b", 64, "fp8", "quantisation", 500, 0.09),
		on("b", 64, "int8", "quantisation", 504, 0.01),
		on("b", 64, "snapkv:budget=25%", "eviction", 260, 0.1),
		skipped,
	)
	knob := func(trace, pipeline string, target int64, err float64) record.Record {
		r := on(trace, 64, pipeline, "eviction", target-1, err)
		r.TargetBytes, r.Knob = &target, "snapkv:budget"
		return r
	}
	for _, c := range []struct {
		name    string
		records []record.Record
		ask     Ask
		choice  string // empty: full
		runner  string
		of      int
	}{
		{"the smallest within the error", one, Ask{MaxError: share(0.05)}, "corm", "int8", 5},
		{"of one size the one with less error", one[:6], Ask{MaxError: share(0.05)}, "int8", "fp8", 3},
		{"the least error within the bytes", one, Ask{MaxBytes: share(0.3)}, "corm", "q4_0", 5},
		{"both bounds", one, Ask{MaxError: share(0.3), MaxBytes: share(0.26)}, "snapkv:budget=25%", "", 5},
		{"no pipeline keeps to them", one, Ask{MaxError: share(0.01)}, "", "", 5},
		{"an engine", one, Ask{MaxError: share(0.05), Engine: "vllm"}, "fp8", "", 1},
		{"an engine of its own form", one, Ask{MaxError: share(0.5), Engine: "kvpress"}, "snapkv:budget=25%", "", 1},
		{"the worst trace decides", two, Ask{MaxError: share(0.05)}, "int8", "", 4},
		{"and the larger share", two, Ask{MaxBytes: share(0.255)}, "", "", 4},
		{"a trace that it does not apply to is none of its", two, Ask{MaxError: share(0.1)}, "q4_0", "int8", 4},
		{"sizes that a run set", []record.Record{
			knob("a", "snapkv:budget=10", 250, 0.1), knob("b", "snapkv:budget=12", 250, 0.2), knob("a", "snapkv:budget=20", 500, 0.05),
		}, Ask{MaxError: share(0.3)}, "snapkv sized to 25.0 %", "", 1},
		{
			"the longest length", append(one[:len(one):len(one)], on("a", 128, "q4_0", "quantisation", 280, 0.04), on("a", 128, "fp8", "quantisation", 500, 0.03)),
			Ask{MaxError: share(0.05)},
			"q4_0", "fp8", 2,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Recommend(c.records, c.ask)
			if err != nil {
				t.Fatal(err)
			}
			name := func(o *Option) string {
				if o == nil {
					return ""
				}
				return o.name()
			}
			if name(r.Choice) != c.choice || name(r.RunnerUp) != c.runner || r.Of != c.of {
				t.Errorf("got %q, then %q, of %d; want %q, then %q, of %d", name(r.Choice), name(r.RunnerUp), r.Of, c.choice, c.runner, c.of)
			}
			if (r.Nearest == nil) == (r.Choice == nil) {
				t.Errorf("nearest %q beside the choice %q: want one of the two", name(r.Nearest), name(r.Choice))
			}
		})
	}
}

// TestRecommendNothing: counts of none are words.
func TestRecommendNothing(t *testing.T) {
	alone := []record.Record{on("a", 64, "full", "baseline", 1000, 0)}
	for engine, want := range map[string]string{"": "use full: no other pipeline was measured", "vllm": "use full: no other pipeline that vLLM offers was measured"} {
		r, err := Recommend(alone, Ask{MaxError: share(0.05), Engine: engine})
		if err != nil || r.answer() != want {
			t.Errorf("%v, %v; want %q", r, err, want)
		}
	}
}

// TestRecommendPartly: a choice that does not apply everywhere says so, and what would be chosen if it had to.
func TestRecommendPartly(t *testing.T) {
	skipped := on("b", 64, "q4_0", "quantisation", 280, 0.1)
	skipped.Status, skipped.Reason, skipped.Error, skipped.CacheBytes = record.Skipped, "32 channels are too few", nil, nil
	r, err := Recommend([]record.Record{
		on("a", 64, "q4_0", "quantisation", 280, 0.02), skipped,
		on("a", 64, "fp8", "quantisation", 500, 0.02), on("b", 64, "fp8", "quantisation", 500, 0.02), on("b", 32, "fp8", "quantisation", 500, 0.01),
	}, Ask{MaxError: share(0.05)})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.answer(); !strings.HasPrefix(got, "use q4_0 (28.0 % of full, error 2.00 %, not on b): ") {
		t.Errorf("got %q", got)
	}
	if got := r.Doubts[0]; got != "It does not apply to b (32 channels are too few), and was not measured there." {
		t.Errorf("got %q", got)
	}
	i := slices.IndexFunc(r.Changes, func(c Alternative) bool { return c.Kind == "traces" })
	if i < 0 || r.Changes[i].Pipeline != "fp8" {
		t.Errorf("got %+v, want fp8 if it had to apply to every trace", r.Changes)
	}
}

// TestRecommendLeavesOut: everything that is not chosen from stands with its reason.
func TestRecommendLeavesOut(t *testing.T) {
	failed := on("a", 64, "tova:budget=25%", "eviction", 250, 0.1)
	failed.Status, failed.Reason, failed.Error = record.Failed, "no memory", nil
	r, err := Recommend([]record.Record{
		on("a", 64, "full", "baseline", 1000, 0), on("b", 64, "full", "baseline", 1000, 0),
		on("a", 64, "random:budget=25%", "bound", 250, 0.5), on("a", 64, "mla", "latent", 250, 0.5), on("a", 64, "mqa+fp8", "sharing+quantisation", 250, 0.5),
		on("a", 64, "f16", "quantisation", 1000, 0), failed, on("a", 64, "fp8", "quantisation", 500, 0.01),
		on("a", 64, "corm", "eviction", 500, 0.01), on("b", 64, "corm", "eviction", 500, 0.01),
	}, Ask{MaxError: share(0.05), Engine: "vllm"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range r.LeftOut {
		got = append(got, l.Reason+": "+strings.Join(l.Pipelines, " "))
	}
	want := `bounds, which are no methods: random:budget=25%
changes the architecture: the model has to be trained for it: mla mqa+fp8
holds no less than full: f16
failed on a: no memory: tova:budget=25%
not measured on every trace: fp8
not offered by vLLM: corm`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	if r.Choice != nil || len(r.Changes) != 1 || r.Changes[0].Pipeline != "corm" || r.Changes[0].When != "if no engine had to offer it" {
		t.Errorf("choice %v, changes %+v: want none, and corm without an engine", r.Choice, r.Changes)
	}
}

func TestRecommendRefuses(t *testing.T) {
	a, b := on("a", 64, "fp8", "quantisation", 500, 0.01), on("a", 64, "int8", "quantisation", 500, 0.01)
	b.Windows = 4
	skipped := a
	skipped.Status, skipped.Error = record.Skipped, nil
	for want, records := range map[string][]record.Record{
		"a at 64 tokens was measured twice, of layers":       {a, b},
		"fp8 on a at 64 tokens stands twice":                 {a, a},
		"no error was measured at the longest length of any": {skipped},
	} {
		if _, err := Recommend(records, Ask{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestRecommendDoubts: each doubt is said where there is cause, and else not.
func TestRecommendDoubts(t *testing.T) {
	wide := windowed("fp8", 0.01, 0.04, 0.07)
	wide.Trace, wide.TraceSHA256, wide.SeqLen = "a", "a", 64
	narrow := windowed("fp8", 0.01, 0.0101, 0.0102)
	narrow.Trace, narrow.TraceSHA256, narrow.SeqLen = "a", "a", 64
	warned := narrow
	warned.Warnings = []record.Warning{{Code: "clamped", Text: "the window is longer than the prompt"}}
	recall := 0.5
	lossy := narrow
	stats := *narrow.Error
	stats.Recall = &recall
	lossy.Error = &stats
	part := narrow
	part.Layers, part.ChangedLayers = []int{0, 1, 2}, new(int)
	shorter := on("a", 32, "fp8", "eviction", 250, 0.001)
	for _, c := range []struct {
		name    string
		records []record.Record
		tokens  int
		want    []string // parts of the doubts, in order
	}{
		{"none", []record.Record{narrow}, 0, nil},
		{"one window", []record.Record{on("a", 64, "fp8", "quantisation", 500, 0.01)}, 0, []string{"are of one window"}},
		{"close to the bound", []record.Record{on("a", 64, "fp8", "quantisation", 500, 0.049)}, 0, []string{"error of 4.90 % is close to the bound of 5 %", "are of one window"}},
		{"noise", []record.Record{wide}, 0, []string{"interval of its error reaches beyond 5 %: 0 % to"}},
		{"longer", []record.Record{narrow}, 4096, []string{"Nothing was measured beyond 64 tokens: errors at 4k may differ"}},
		{"growth", []record.Record{narrow, shorter}, 0, []string{"grows with the length: from 0.100 % at 32 tokens to 1.01 % at 64 on a"}},
		{"warnings", []record.Record{warned}, 0, []string{"clamped: the window is longer than the prompt (a)"}},
		{"needles", []record.Record{lossy}, 0, []string{"holds 50.0 % of the needles"}},
		{"layers left as they are", []record.Record{part}, 0, []string{"fp8 changed 0 of 3 layers of a: where that share"}},
		{"versions", []record.Record{narrow, func() record.Record { r := narrow; r.Trace, r.TraceSHA256, r.Version = "b", "b", "2"; return r }()}, 0, []string{"several versions of kvgauge: , 2."}},
		{"a tie", []record.Record{narrow, func() record.Record { r := narrow; r.Pipeline = "corm"; return r }()}, 0, []string{"cannot be told from that of"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Recommend(c.records, Ask{MaxError: share(0.05), Tokens: c.tokens})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Doubts) != len(c.want) {
				t.Fatalf("got %q, want %q", r.Doubts, c.want)
			}
			for i, want := range c.want {
				if !strings.Contains(r.Doubts[i], want) {
					t.Errorf("got %q, want %q", r.Doubts[i], want)
				}
			}
		})
	}
}

// TestRecommendHolds: whatever was measured, the choice keeps to the bounds, nothing within them is better by what it was
// chosen for, and asking for a bound that would change the choice gives what was said of it.
func TestRecommendHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var records []record.Record
		for i := range rapid.IntRange(1, 12).Draw(t, "pipelines") {
			for _, trace := range []string{"a", "b"}[:rapid.IntRange(1, 2).Draw(t, "traces")] {
				if rapid.IntRange(0, 5).Draw(t, "skipped") == 0 {
					skipped := on(trace, 64, fmt.Sprintf("m%d", i), "eviction", 1, 0)
					skipped.Status, skipped.Error = record.Skipped, nil
					records = append(records, skipped)
					continue
				}
				records = append(records, on(trace, 64, fmt.Sprintf("m%d", i), "eviction",
					rapid.Int64Range(0, 999).Draw(t, "cache"), float64(rapid.IntRange(0, 50).Draw(t, "error"))/100))
			}
		}
		ask := Ask{}
		if rapid.Bool().Draw(t, "by error") {
			ask.MaxError = share(float64(rapid.IntRange(0, 50).Draw(t, "most error")) / 100)
		}
		if ask.MaxError == nil || rapid.Bool().Draw(t, "by bytes") {
			ask.MaxBytes = share(float64(rapid.IntRange(0, 100).Draw(t, "most bytes")) / 100)
		}
		if !slices.ContainsFunc(records, func(r record.Record) bool { return r.Error != nil }) {
			return
		}
		r, err := Recommend(records, ask)
		if err != nil {
			t.Fatal(err)
		}
		all, err := grounds(records)
		if err != nil {
			t.Fatal(err)
		}
		in, _ := options(all.longest(), ask)
		for _, o := range in {
			switch {
			case !ask.within(o):
			case r.Choice == nil:
				t.Fatalf("%s keeps to the bounds, and nothing was chosen", o.name())
			case ask.MaxError != nil && o.OfFull < r.Choice.OfFull/(1+sameSize)-1e-12:
				t.Fatalf("%s of %v is smaller than %s of %v", o.name(), o.OfFull, r.Choice.name(), r.Choice.OfFull)
			case ask.MaxError == nil && o.Error < r.Choice.Error:
				t.Fatalf("%s has less error than %s", o.name(), r.Choice.name())
			}
		}
		if r.Choice != nil && !ask.within(r.Choice) {
			t.Fatalf("%s is beyond the bounds", r.Choice.name())
		}
		for _, c := range r.Changes {
			again := ask
			switch {
			case c.Kind == "max_error" && (r.Choice == nil || *c.Value > r.Choice.Error):
				again.MaxError = c.Value
			case c.Kind == "max_bytes" && (r.Choice == nil || *c.Value > r.Choice.OfFull):
				again.MaxBytes = c.Value
			default:
				continue // tighter: below the value
			}
			r2, err := Recommend(records, again)
			if err != nil {
				t.Fatal(err)
			}
			if r2.Choice == nil || r2.Choice.name() != c.Pipeline {
				t.Fatalf("%s: said %s, chose %+v", c.When, c.Pipeline, r2.Choice)
			}
		}
	})
}

// TestWriteRecommendation: a name from a file cannot break a line, and JSON holds no null list.
func TestWriteRecommendation(t *testing.T) {
	r, err := Recommend([]record.Record{
		on("a|b\nc", 64, "x|*y*\nz", "eviction", 250, 0.01), on("a|b\nc", 32, "fp8", "quantisation", 500, 0.01),
	}, Ask{MaxError: share(0.05)})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range RecommendationFormats() {
		var b bytes.Buffer
		if err := WriteRecommendation(&b, r, format); err != nil {
			t.Error(err)
		}
		switch format {
		case "json":
			var got map[string]any
			if err := json.Unmarshal(b.Bytes(), &got); err != nil {
				t.Error(err)
			}
			for _, key := range []string{"changes", "doubts", "left_out", "traces"} {
				if got[key] == nil {
					t.Errorf("%s is null, want a list", key)
				}
			}
		case "markdown":
			if !strings.Contains(b.String(), `x\|\*y\* z`) {
				t.Errorf("markup is not escaped:\n%s", b.String())
			}
		default:
			if !strings.HasPrefix(b.String(), "use x|*y* z (25.0 % of full, error 1.00 %): ") {
				t.Errorf("got\n%s", b.String())
			}
		}
	}
	if err := WriteRecommendation(&bytes.Buffer{}, r, "csv"); err == nil {
		t.Error("an unknown format was written")
	}
}

func TestUpText(t *testing.T) {
	for v, want := range map[float64]string{0: "0 %", 0.1: "10.0 %", 0.10001: "10.1 %", 0.0299: "2.99 %", 0.999999: "100 %", 1.234567: "124 %", 0.000001: "0.001 %"} {
		if got := upText(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

// FuzzRecommend takes any records: what is recommended of them keeps to the bounds and can be written, and what is refused is
// refused in one line.
func FuzzRecommend(f *testing.F) {
	good := jsonl(f, goldenRecords()[:6])
	f.Add(good, 0.05, 0.5)
	f.Add(good, -1.0, 0.3)
	f.Add(jsonl(f, []record.Record{atBytes("snapkv:budget=25%", "eviction", 0.3), windowed("corm", 0.1, 0.2)}), 1.0, -1.0)
	f.Add([]byte(`{"schema":1,"status":"ok","trace":"t","pipeline":"p:budget=0","family":"eviction","seq_len":1,"knob":"p:budget","target_bytes":9,"cache_bytes":0,"cache_bytes_full":1,"error":{"rel_l2":0,"recall":0}}`), 0.0, 0.0)
	f.Fuzz(func(t *testing.T, data []byte, e, b float64) {
		records, err := record.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		ask := Ask{MaxError: &e, MaxBytes: &b}
		if e < 0 {
			ask.MaxError = nil
		} else if b < 0 {
			ask.MaxBytes = nil
		}
		r, err := Recommend(records, ask)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			return
		}
		if r.Choice != nil && !ask.within(r.Choice) {
			t.Errorf("%s is beyond the bounds", r.Choice.name())
		}
		for _, format := range RecommendationFormats() {
			if err := WriteRecommendation(io.Discard, r, format); err != nil {
				t.Errorf("%s: %v", format, err)
			}
		}
	})
}
