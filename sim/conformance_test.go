package sim

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/method"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// everything is each registered method with its defaults, in its variants, and combined with others.
var everything = append([]string{"all"}, specs(method.Info.Specs)...)

// specs lists something of every method.
func specs(of func(method.Info) []string) (all []string) {
	for _, i := range method.All() {
		all = append(all, of(i)...)
	}
	return all
}

// alone parses the methods of some families, with their defaults and in their variants, with each of some budgets.
func alone(t *testing.T, budgets []method.Entries, families ...method.Family) []*method.Pipeline {
	t.Helper()
	all := specs(func(i method.Info) []string {
		if len(families) > 0 && !slices.Contains(families, i.Family) {
			return nil
		}
		return slices.DeleteFunc(i.Specs(), func(spec string) bool { return strings.Contains(spec, "+") })
	})
	ps, err := method.Parse(all, budgets)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func golden(t *testing.T, name string) *trace.Trace {
	return openTrace(t, filepath.Join("..", "testdata", "goldens", name, "trace.safetensors"))
}

// TestBudgetOfEverythingEqualsFull wants the same outputs, bit for bit, from every pipeline that keeps all.
func TestBudgetOfEverythingEqualsFull(t *testing.T) {
	tr := golden(t, "tiny")
	tr.Repeat = trace.Span{First: 10, Last: 20}
	ps := parse(t, append([]string{"full"}, specs(func(i method.Info) []string { return i.With(i.Lossless) })...)...)
	for _, p := range alone(t, []method.Entries{{Percent: 100}}) {
		if strings.Contains(p.Name, "budget=100%") {
			ps = append(ps, p)
		}
	}
	records := runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: ps, Lengths: []int{50, 96}, Decode: new(16)})
	for i, r := range records {
		full := records[i/len(ps)*len(ps)]
		if r.Status != record.OK {
			t.Fatalf("%s at %d: %s", r.Pipeline, r.SeqLen, r.Reason)
		}
		if !slices.Equal(r.Error.RelL2Layers, full.Error.RelL2Layers) || *r.Error.MaxAbs != *full.Error.MaxAbs {
			t.Errorf("%s at %d: errors %v, full has %v", r.Pipeline, r.SeqLen, r.Error.RelL2Layers, full.Error.RelL2Layers)
		}
		if m := r.Error.Mass; m != nil && math.Abs(*m-1) > 1e-9 {
			t.Errorf("%s at %d: holds %g of the mass", r.Pipeline, r.SeqLen, *m)
		}
		if full.Error.RelL2 > 2e-3 || full.Error.RelL2 == 0 {
			t.Errorf("full's error %g is not that of f16 storage", full.Error.RelL2)
		}
	}
}

// itself calibrates a trace on its own rows.
func itself(tr *trace.Trace) map[*trace.Header]*trace.Header {
	return map[*trace.Header]*trace.Header{&tr.Header: headers(tr)[0]}
}

func codes(r record.Record) string {
	var cs []string
	for _, w := range r.Warnings {
		cs = append(cs, w.Code)
	}
	return strings.Join(cs, ",")
}

func TestWarnings(t *testing.T) {
	tests := []struct{ spec, want string }{
		{"full", ""},
		{"snapkv:budget=40", ""},
		{"snapkv:budget=90", "budget-above-length"},
		{"snapkv:budget=80", "nothing-evicted"}, // the prompt is 80 tokens
		{"streamingllm:budget=96", "nothing-evicted"},
		{"streamingllm:budget=97", "budget-above-length"},
		{"streamingllm:budget=95", ""},
		{"pyramidkv:budget=60", "schedule-uniform"},
	}
	tr := golden(t, "tiny")
	for _, tt := range tests {
		rec := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, tt.spec), Lengths: []int{96}, Decode: new(16)})[0]
		if got := codes(rec); got != tt.want {
			t.Errorf("%s: warnings %q, want %q", tt.spec, got, tt.want)
		}
	}
}

// TestCacheBytesFormula holds the bytes summed from the stores' buffers against the closed formulas, below,
// at and above the thresholds of each method.
func TestCacheBytesFormula(t *testing.T) {
	t.Parallel()
	const budget, decode, row = 24, 16, 4 // bytes of one channel's key and value in f16
	for _, name := range []string{"tiny", "gqa"} {
		tr := golden(t, name)
		layers, g, h, d := len(tr.Layers), tr.Attention[0].KVHeads, tr.Attention[0].QHeads, tr.Attention[0].QKDim
		for _, n := range []int{budget + decode - 1, budget + decode, budget + decode + 1, 2*(budget-8) + decode, 2*(budget-8) + decode + 1, 96} {
			prompt := n - decode
			kept := min(prompt, budget)
			pyramid := layers * kept
			if base := budget - 8; prompt > budget && prompt >= 2*base {
				pyramid = 0
				low := base / 20
				high := 2*base - low
				if high >= prompt-8 {
					high, low = prompt-8, 2*base-(prompt-8)
				}
				for l := range layers {
					pyramid += high - l*((high-low)/(layers-1)) + 8
				}
			}
			formulas := map[string]int{
				"full":                               layers * g * n * d * row,
				"mha":                                layers * h * n * d * row,
				"mqa":                                layers * n * d * row,
				"gqa:heads=" + fmt.Sprint(g/2):       layers * g / 2 * n * d * row,
				"snapkv:budget=24":                   layers * g * (kept + decode) * d * row,
				"snapkv:budget=24,layout=query":      layers * h * (kept + decode) * d * row,
				"pyramidkv:budget=24":                g * (pyramid + layers*decode) * d * row,
				"streamingllm:budget=24":             layers*g*min(n, budget)*d*row + 8,
				"streamingllm:recent=10,sinks=3":     layers*g*min(n, 13)*d*row + 8,
				"random:budget=24":                   layers * g * (kept + decode) * d * row,
				"oracle:budget=24":                   layers * g * (kept + decode) * d * row,
				"mqa+snapkv:budget=24":               layers * (kept + decode) * d * row,
				"gqa:heads=1+streamingllm:recent=10": layers*min(n, 14)*d*row + 8,

				"cla":                                   layers / 2 * g * n * d * row,
				"cla:factor=3":                          (layers + 2) / 3 * g * n * d * row,
				"mqa+cla":                               layers / 2 * n * d * row,
				"cla+snapkv:budget=24":                  layers / 2 * g * (kept + decode) * d * row,
				"mla:rank=20":                           layers * n * 20 * 2,
				"mla:rank=20,rope=pre":                  layers * n * 20 * 2,
				"mla:rank=20,rope=decoupled,rope_dim=4": layers * n * 24 * 2,
				"mla:rank=20,rope=partial,rope_dim=4":   layers * n * (20 + 4*g) * 2,
				"bestrank:rank=20":                      layers * n * 20 * 2,
				"cla+mla:rank=20":                       layers / 2 * n * 20 * 2,
				"mla:rank=20+snapkv:budget=24":          layers * (kept + decode) * 20 * 2,
				"int8":                                  layers * g * n * 2 * (d + 2),
				"int4":                                  layers * g * n * 2 * (d/2 + 4*((d+31)/32)),
				"mqa+cla+mla:rank=20+streamingllm:budget=24+int8": layers/2*min(n, 24)*(20+2) + 8,
			}
			var specs []string
			for s := range formulas {
				specs = append(specs, s)
			}
			for _, r := range runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, specs...), Lengths: []int{n}, Decode: new(decode)}) {
				if r.Status != record.OK {
					t.Errorf("%s %s at %d: %s", name, r.Pipeline, n, r.Reason)
					continue
				}
				if want := int64(formulas[r.Pipeline]); *r.CacheBytes != want {
					t.Errorf("%s %s at %d: cache_bytes %d, want %d", name, r.Pipeline, n, *r.CacheBytes, want)
				}
				if want := int64(layers * g * n * d * row); *r.CacheBytesFull != want {
					t.Errorf("%s %s at %d: cache_bytes_full %d, want %d", name, r.Pipeline, n, *r.CacheBytesFull, want)
				}
				if stores := parse(t, r.Pipeline)[0].Groups(r.Layers, r.NumLayers); len(stores) == layers && *r.TrafficBytes != *r.CacheBytes {
					t.Errorf("%s %s at %d: traffic %d, want the cache's %d: each of these reads all it holds", name, r.Pipeline, n, *r.TrafficBytes, *r.CacheBytes)
				}
			}
		}
	}
}

// TestPeakBytes: the layer being reduced is whole, those before it are reduced; or the last step.
func TestPeakBytes(t *testing.T) {
	tr := golden(t, "tiny") // 4 layers, 4 heads of 16
	const perToken = 4 * 16 * 4
	tests := []struct {
		spec string
		want int64
	}{
		{"full", 4 * 96 * perToken},
		{"snapkv:budget=12", (3*12 + 80) * perToken},
		{"streamingllm:budget=24", (3*24+80)*perToken + 8},
		{"snapkv:budget=70", 4 * (70 + 16) * perToken},
	}
	for _, tt := range tests {
		rec := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, tt.spec), Lengths: []int{96}, Decode: new(16)})[0]
		if *rec.PeakBytes != tt.want {
			t.Errorf("%s: peak_bytes %d, want %d", tt.spec, *rec.PeakBytes, tt.want)
		}
	}
}

// TestThreadsDoNotChangeRecords runs everything on one thread and on two, and wants the same bytes but for
// latency, which some of it is run with.
func TestThreadsDoNotChangeRecords(t *testing.T) {
	t.Parallel()
	tr := golden(t, "gqa")
	var lines [2][]string
	for i := range lines {
		o := Options{Traces: headers(tr), Pipelines: parse(t, everything...), Lengths: []int{96}, Kept: true, Threads: i + 1}
		if long() {
			o.Lengths = append(o.Lengths, 320)
		}
		records := runCells(t, o)
		o.Pipelines, o.Lengths = parse(t, "all"), []int{320}
		records = append(records, runCells(t, o)...)
		o.Lengths, o.Repeats = []int{96}, 3
		for _, r := range runCells(t, o) {
			if r.Status == record.OK && (r.Latency == nil || r.Latency.Threads != i+1 || len(r.Latency.StepNS) != 3) {
				t.Errorf("%s at %d: latency %+v", r.Pipeline, r.SeqLen, r.Latency)
			}
			r.Latency = nil
			records = append(records, r)
		}
		for _, r := range records {
			line, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			lines[i] = append(lines[i], string(line))
		}
	}
	if !slices.Equal(lines[0], lines[1]) {
		t.Error("records differ between one thread and two")
	}
}

// TestKept checks every method's kept positions: in range, ascending, as many as its bytes say, growing
// by the decoded tokens where it is one-shot.
func TestKept(t *testing.T) {
	t.Parallel()
	tr := golden(t, "gqa")
	tr.Repeat = trace.Span{First: 40, Last: 70} // so that every method has what it needs
	for _, r := range runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, everything...), Lengths: []int{320}, Decode: new(32), Kept: true}) {
		p := parse(t, r.Pipeline)[0]
		if r.Status == record.Skipped && p.Traits()&method.Large != 0 {
			continue // 2 KV heads of 32
		} else if r.Status != record.OK {
			t.Errorf("%s: %s", r.Pipeline, r.Reason)
			continue
		}
		entries := 0
		var producers []int // indices of the layers with a store of their own
		for _, g := range p.Groups(r.Layers, r.NumLayers) {
			producers = append(producers, slices.Index(r.Layers, g[0]))
		}
		for name, layers := range map[string][][][]int32{"kept": r.Kept, "kept_final": r.KeptFinal} {
			limit := map[string]int{"kept": 288, "kept_final": 320}[name]
			for l, heads := range layers {
				for _, pos := range heads {
					if !slices.IsSorted(pos) || len(slices.Compact(slices.Clone(pos))) != len(pos) || pos[0] < 0 || int(pos[len(pos)-1]) >= limit {
						t.Errorf("%s: %s is not ascending below %d: %v", r.Pipeline, name, limit, pos)
					}
					if name == "kept_final" {
						if slices.Contains(producers, l) {
							entries += len(pos)
						}
						if pos[len(pos)-1] != 319 && p.Traits()&method.DropsNewest == 0 {
							t.Errorf("%s: the last token is not in the cache", r.Pipeline)
						}
					}
				}
			}
		}
		if p.Traits()&method.Recodes != 0 {
			continue // rows of other widths and formats: TestCacheBytesFormula and TestPackedBytesFormula have them
		}
		if got := int64(entries)*4*int64(*r.HeadDim) + *r.MetadataBytes; got != *r.CacheBytes {
			t.Errorf("%s: %d entries and metadata make %d bytes, cache_bytes is %d", r.Pipeline, entries, got, *r.CacheBytes)
		}
	}
}

// TestNothingLooksAhead gives every policy the same prompt with and without a future.
func TestNothingLooksAhead(t *testing.T) {
	tr := golden(t, "gqa")
	tr.Repeat = trace.Span{First: 40, Last: 70}
	ps := slices.DeleteFunc(append(alone(t, []method.Entries{{Count: 60}}), parse(t, "mqa+snapkv:budget=60")...), func(p *method.Pipeline) bool {
		return p.Family == string(method.Bound) || p.Traits()&method.AsksDecode != 0
	})
	without := runCells(t, Options{Traces: headers(tr), Pipelines: ps, Lengths: []int{200}, Kept: true, Decode: new(0)})
	with := runCells(t, Options{Traces: headers(tr), Pipelines: ps, Lengths: []int{320}, Decode: new(120), Kept: true})
	for i, r := range with {
		if r.Status == record.Failed || !reflect.DeepEqual(r.Kept, without[i].Kept) {
			t.Errorf("%s: what it kept of the prompt depends on what was decoded", r.Pipeline)
		}
	}
}

// TestOracleHoldsMostMass compares the oracle with whatever holds no more of the prompt in any head, and all that
// follows.
func TestOracleHoldsMostMass(t *testing.T) {
	const decode = 20
	for _, name := range []string{"tiny", "gqa"} {
		tr := golden(t, name)
		ps := append(parse(t, "oracle"), alone(t, []method.Entries{{Percent: 25}})...)
		recs := runCells(t, Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: ps, Lengths: []int{96}, Decode: new(decode), Kept: true})
		compared := 0
		for _, r := range recs[1:] {
			if r.Error == nil || r.Error.Mass == nil || !holdsNoMore(r, recs[0], decode) {
				continue
			}
			compared++
			if *r.Error.Mass > *recs[0].Error.Mass+1e-12 {
				t.Errorf("%s holds %g of the mass, the oracle %g", r.Pipeline, *r.Error.Mass, *recs[0].Error.Mass)
			}
		}
		if compared < 20 {
			t.Errorf("only %d pipelines hold as little as the oracle", compared)
		}
	}
}

// holdsNoMore says whether each head of a holds at most as many prompt entries as that of b, and all decoded ones.
func holdsNoMore(a, b record.Record, decode int) bool {
	for l, heads := range a.Kept {
		if len(heads) != len(b.Kept[l]) {
			return false
		}
		for j, kept := range heads {
			if len(kept) > len(b.Kept[l][j]) || len(a.KeptFinal[l][j]) != len(kept)+decode {
				return false
			}
		}
	}
	return true
}

// TestErrorOfGQAFallsWithHeads runs on a trace of a trained model: pooling fewer heads loses less.
func TestErrorOfGQAFallsWithHeads(t *testing.T) {
	tr := openTrace(t, "bytelm")
	recs := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, "mqa", "gqa:heads=2", "gqa:heads=4", "gqa:heads=8"), Lengths: []int{256}, Decode: new(16)})
	for i, r := range recs[1:] {
		if r.Error.RelL2 >= recs[i].Error.RelL2 {
			t.Errorf("%s has error %g, %s %g", r.Pipeline, r.Error.RelL2, recs[i].Pipeline, recs[i].Error.RelL2)
		}
	}
}

// TestFullIsTheFloor: on every built-in trace full's error is that of f16 storage.
func TestFullIsTheFloor(t *testing.T) {
	for _, name := range []string{"smollm2", "bytelm", "stories260k", "synth"} {
		tr := openTrace(t, name)
		for _, r := range runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, "full", "mha"), Lengths: []int{256}}) {
			if !(r.Error.RelL2 < 2e-3) || *r.Error.Cosine < 0.999 {
				t.Errorf("%s %s: rel_l2 %g, cosine %g", name, r.Pipeline, r.Error.RelL2, *r.Error.Cosine)
			}
		}
	}
}

func TestPlanErrors(t *testing.T) {
	tr := golden(t, "tiny")
	tests := []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"length beyond every trace", func(o *Options) { o.Lengths = []int{200, 1000} }, record.Opt + "lengths 200: no trace holds that many tokens"},
		{"layer in no trace", func(o *Options) { o.Layers = []int{2, 9} }, record.Opt + "layers 9: no trace holds it"},
		{"nothing applies", func(o *Options) { o.Pipelines = parse(t, "gqa:heads=3") }, "heads=3 does not divide 4 KV heads"},
		{"no prompt", func(o *Options) { o.Decode = new(96) }, "leaves no prompt"},
		{"no memory", func(o *Options) { o.MaxMemory = 1000 }, "--max-memory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Traces: headers(tr), Pipelines: parse(t, "full"), Lengths: []int{96}, Decode: new(16), MaxMemory: 1 << 30, Threads: 1}
			tt.change(&o)
			if _, err := NewPlan(o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestSkippedCells(t *testing.T) {
	tr := golden(t, "tiny")
	recs := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, "full,gqa:heads=3"), Lengths: []int{96, 97}, Decode: new(16)})
	want := []string{"", "heads=3 does not divide 4 KV heads", "the trace holds 96 tokens", "the trace holds 96 tokens"}
	for i, r := range recs {
		if r.Reason != want[i] || (r.Status == record.OK) != (want[i] == "") || (r.Error == nil) != (want[i] != "") {
			t.Errorf("%s at %d: %s, %q, want %q", r.Pipeline, r.SeqLen, r.Status, r.Reason, want[i])
		}
	}
}

// TestLayersKeepTheirNumbers: a subset of layers gets the budgets that they have in the whole model.
func TestLayersKeepTheirNumbers(t *testing.T) {
	tr := golden(t, "gqa")
	o := Options{Traces: headers(tr), Pipelines: parse(t, "pyramidkv:budget=60"), Lengths: []int{320}, Decode: new(16), Kept: true}
	all := runCells(t, o)[0]
	o.Layers = []int{1, 4}
	some := runCells(t, o)[0]
	if !reflect.DeepEqual(some.Kept, [][][]int32{all.Kept[1], all.Kept[4]}) || !slices.Equal(some.Layers, o.Layers) {
		t.Error("layers 1 and 4 alone keep other entries than among all")
	}
}

// TestEveryMethodIsListed guards the registry's promises.
func TestEveryMethodIsListed(t *testing.T) {
	for _, i := range method.All() {
		if _, err := method.Parse([]string{i.Name}, []method.Entries{{Percent: 25}}); err != nil {
			t.Errorf("%s with its defaults: %v", i.Name, err)
		}
	}
}
