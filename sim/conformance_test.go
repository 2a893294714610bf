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
	"kvgauge/sim/trace"
)

// everything is each registered method with its defaults and some of its parameters.
var everything = []string{
	"all", "gqa:heads=1", "gqa:init=random", "mqa:init=first", "mqa+streamingllm", "mha+snapkv:budget=33%",
	"snapkv:layout=query", "snapkv:agg=max,pool=avg", "pyramidkv:shape=flat", "pyramidkv:shape=inverted",
	"pyramidkv:rounding=exact", "pyramidkv:variant=kvpress", "streamingllm:roll=on", "streamingllm:sinks=0",
	"streamingllm:recent=20", "random:recent=9",
	"corm:recent=16,window=16", "corm:agg=mean,recent=auto,threshold=n,window=auto", "corm:layout=query,recent=20,window=20",
	"cla:calibrated=on", "cla:factor=3", "cla:pattern=keepends", "cla:producers=0/1/4", "mqa:calibrated=on", "mqa+cla:factor=3",
	"cla+snapkv", "cla:scores=producer+snapkv", "cla+corm:recent=16,window=16", "mqa:calibrated=on+cla:calibrated=on", "cla:calibrated=on+snapkv",
	"mla:rank=40", "mla:rank=40,rope=pre", "mla:rank=40,rope=decoupled", "mla:rank=40,rope=partial", "mla:pairs=2-norm,rank=40,rope=partial",
	"mla:rank=40+snapkv", "mla:rank=40+corm:recent=16,window=16", "cla+mla:rank=40", "cla:calibrated=on+mla:rank=40+snapkv+int8", "snapkv+int4", "corm+int8",
	"think:ratio=0.5,window=8+int8", "snapkv+think:window=8", "cla+think", "minicache+int8", "snapkv+minicache", "mqa+minicache:start=0",
	"lowrank:rope=post", "lowrank:kind=xkv", "lowrank:kind=xkv+int4", "lowrank:rope=post+snapkv", "lowrank:rope=post+think:window=8", "mqa+lowrank",
	"adakv:layout=query", "adakv:normalize=off,pool=avg", "adakv:variant=kvpress", "snapkv+adakv", "pyramidkv+adakv", "adakv+criticalkv",
	"knorm:recent=9,skip=0/2", "keydiff:block=16", "expectedattention:future=3", "chunkkv:chunk=7", "lagkv:lag=16", "qfilters:recent=9", "cake:window=8",
	"cla+adakv", "cla+cake:window=8", "cla+expectedattention", "cla+qfilters", "mla:rank=40+qfilters", "mqa+criticalkv", "mla:rank=40+adakv", "mla:rank=40+cake:window=8", "adakv+int8",
	"h2o:agg=max", "h2o:layout=query", "h2o:heavy=20", "h2o:variant=pyramidkv", "h2o:variant=kvpress", "cla+h2o", "mla:rank=40+tova", "cla+tova",
	"triattention:agg=max,interval=8", "triattention:interval=0,mode=union", "cla+triattention:interval=0,mode=per_head", "cla+triattention:interval=8", "triattention:interval=8+int8",
	"scissorhands:history=20,mode=sum,recent=3", "rkv:interval=16", "cla+rkv:interval=8", "snapkv:interval=8", "pyramidkv:interval=8,layout=query",
	"duoattention:recent=20,sinks=4", "duoattention:full=0%,recent=20+int8", "quest:dense=3,page=4", "cla+quest:budget=30", "mla:rank=40+quest:budget=30", "snapkv+int8+quest:budget=30",
	"rocketkv:budget=40,window=8", "rocketkv:budget=40,page=3,preset=trtllm,topk=5,topr=20,window=8", "mla:rank=40+rocketkv:budget=40,preset=trtllm,topk=5,window=8", "dsa:topk=40", "dsa:index=oracle,topk=40", "cla+dsa:dim=8,topk=40",
	"kivi:group=8,residual=16", "kivi:bits=4,residual=32", "int4:axis=channel,group=24", "int4:group=8", "q4_0:block=32", "q8_0:rotate=off",
	"turboquant:boundary=1,preset=3bit_nc", "turboquant:preset=k3v4_nc", "turboquant:preset=k8v4", "turboquant:qjl=on",
	"corm:recent=16,window=16+turboquant:boundary=1,preset=3bit_nc,qjl=on", "rkv:interval=16+turboquant:qjl=on", "turboquant:qjl=on+quest:budget=30", "turboquant:qjl=on+dsa:index=oracle,topk=40", "nvfp4:fourover6=on", "nvfp4:global=1", "mx4:block=32", "fp8:format=e5m2,scale=token",
	"kvarn:preset=k4v4_g64", "corm:recent=16,window=16+kvarn:preset=k4v2_g64", "snapkv+nvfp4", "mqa+cla+corm:recent=16,window=16+kivi:group=8,residual=16", "streamingllm:recent=20+kivi:group=8,residual=16", "streamingllm:roll=on+kivi:group=8,residual=16", "mla:rank=40+int4:axis=channel,group=8",
}

func golden(t *testing.T, name string) *trace.Trace {
	return openTrace(t, filepath.Join("..", "testdata", "goldens", name, "trace.safetensors"))
}

// TestBudgetOfEverythingEqualsFull wants the same outputs, bit for bit, from every pipeline that keeps all.
func TestBudgetOfEverythingEqualsFull(t *testing.T) {
	tr := golden(t, "tiny")
	specs := []string{
		"full", "mha", "gqa:heads=4", "snapkv:budget=100%", "pyramidkv:budget=100%", "pyramidkv:budget=96,variant=kvpress",
		"streamingllm:budget=100%", "streamingllm:budget=100%,roll=on", "streamingllm:recent=92", "random:budget=100%", "oracle:budget=100%",
		"cla:factor=1", "corm", "corm:recent=96,window=10",
		"adakv:budget=100%", "adakv:budget=100%,variant=kvpress", "knorm:budget=100%", "keydiff:block=5,budget=100%", "expectedattention:budget=100%",
		"chunkkv:budget=100%", "lagkv:budget=100%", "criticalkv:budget=100%", "adakv:budget=100%+criticalkv", "cake:budget=100%", "cur:budget=100%", "qfilters:budget=100%",
		"triattention:budget=100%,interval=4", "triattention:budget=100%,interval=0,mode=union", "triattention:budget=100%,interval=0,mode=per_head",
	}
	records := runCells(t, Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, specs...), Lengths: []int{50, 96}, Decode: 16})
	for i, r := range records {
		full := records[i/len(specs)*len(specs)]
		if !slices.Equal(r.Error.RelL2Layers, full.Error.RelL2Layers) || r.Error.MaxAbs != full.Error.MaxAbs {
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
func itself(tr *trace.Trace) map[*trace.Trace]*trace.Trace {
	return map[*trace.Trace]*trace.Trace{tr: tr}
}

func codes(r Record) string {
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
		rec := runCells(t, Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, tt.spec), Lengths: []int{96}, Decode: 16})[0]
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
		layers, g, h, d := len(tr.Layers), tr.KVHeads, tr.QHeads, tr.HeadDim
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
			for _, r := range runCells(t, Options{Traces: []*trace.Trace{tr}, Calibrate: itself(tr), Pipelines: parse(t, specs...), Lengths: []int{n}, Decode: decode}) {
				if r.Status != OK {
					t.Errorf("%s %s at %d: %s", name, r.Pipeline, n, r.Reason)
					continue
				}
				if want := int64(formulas[r.Pipeline]); *r.CacheBytes != want {
					t.Errorf("%s %s at %d: cache_bytes %d, want %d", name, r.Pipeline, n, *r.CacheBytes, want)
				}
				if want := int64(layers * g * n * d * row); *r.CacheBytesFull != want {
					t.Errorf("%s %s at %d: cache_bytes_full %d, want %d", name, r.Pipeline, n, *r.CacheBytesFull, want)
				}
				if shared := strings.Contains(r.Pipeline, "cla"); !shared && *r.TrafficBytes != *r.CacheBytes {
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
		rec := runCells(t, Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, tt.spec), Lengths: []int{96}, Decode: 16})[0]
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
	timed := []string{"full", "snapkv", "streamingllm:roll=on", "corm:recent=16,window=16", "cla", "mla:rank=40", "int8", "quest:budget=30"}
	var lines [2][]string
	for i := range lines {
		o := Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, everything...), Lengths: []int{96}, Decode: -1, Kept: true, Threads: i + 1}
		if long() {
			o.Lengths = append(o.Lengths, 320)
		}
		records := runCells(t, o)
		o.Pipelines, o.Lengths = parse(t, timed...), []int{320}
		records = append(records, runCells(t, o)...)
		o.Lengths, o.Repeats = []int{96}, 3
		for _, r := range runCells(t, o) {
			if r.Status == OK && (r.Latency == nil || r.Latency.Threads != i+1 || len(r.Latency.StepNS) != 3) {
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
	for _, r := range runCells(t, Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, everything...), Lengths: []int{320}, Decode: 32, Kept: true}) {
		if r.Status == Skipped && slices.ContainsFunc([]string{"gqa", "mla", "q4_0", "q8_0", "kvzip"}, func(m string) bool { return strings.HasPrefix(r.Pipeline, m) }) {
			continue // 2 KV heads of 32, no second pass
		} else if r.Status != OK {
			t.Errorf("%s: %s", r.Pipeline, r.Reason)
			continue
		}
		entries := 0
		var producers []int // indices of the layers with a store of their own
		for _, g := range parse(t, r.Pipeline)[0].Groups(r.Layers, r.NumLayers) {
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
						spares := !strings.Contains(r.Pipeline, "tova") && !strings.Contains(r.Pipeline, "triattention") // the newest
						if pos[len(pos)-1] != 319 && spares {
							t.Errorf("%s: the last token is not in the cache", r.Pipeline)
						}
					}
				}
			}
		}
		if strings.Contains(r.Family, string(method.Quantisation)) || strings.Contains(r.Family, string(method.Latent)) || strings.Contains(r.Pipeline, "calibrated") || strings.HasPrefix(r.Pipeline, "bestrank") ||
			strings.Contains(r.Family, string(method.Channel)) || strings.Contains(r.Family, string(method.Merging)) {
			continue // rows of other widths and formats: TestCacheBytesFormula and TestPackedBytesFormula have them
		}
		if got := int64(entries)*4*int64(r.HeadDim) + *r.MetadataBytes; got != *r.CacheBytes {
			t.Errorf("%s: %d entries and metadata make %d bytes, cache_bytes is %d", r.Pipeline, entries, got, *r.CacheBytes)
		}
	}
}

// TestNothingLooksAhead gives every policy the same prompt with and without a future.
func TestNothingLooksAhead(t *testing.T) {
	tr := golden(t, "gqa")
	var specs []string
	for _, p := range parse(t, "all", "snapkv:layout=query", "pyramidkv:variant=kvpress,budget=60", "mqa+snapkv") {
		told := strings.HasPrefix(p.Name, "rocketkv") // it makes room for the tokens that it is asked to decode
		if !strings.Contains(p.Family, "bound") && !told {
			specs = append(specs, strings.ReplaceAll(p.Name, "budget=25%", "budget=60"))
		}
	}
	without := runCells(t, Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, specs...), Lengths: []int{200}, Kept: true})
	with := runCells(t, Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, specs...), Lengths: []int{320}, Decode: 120, Kept: true})
	for i, r := range with {
		if r.Status == Failed || !reflect.DeepEqual(r.Kept, without[i].Kept) {
			t.Errorf("%s: what it kept of the prompt depends on what was decoded", r.Pipeline)
		}
	}
}

// TestOracleHoldsMostMass compares the oracle with every one-shot method at equal counts per head.
func TestOracleHoldsMostMass(t *testing.T) {
	for _, name := range []string{"tiny", "gqa"} {
		tr := golden(t, name)
		recs := runCells(t, Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, "oracle,snapkv,pyramidkv:shape=flat,rounding=exact,random,snapkv:pool=none"), Lengths: []int{96}, Decode: 20})
		for _, r := range recs[1:] {
			if *r.CacheBytes > *recs[0].CacheBytes || *r.Error.Mass > *recs[0].Error.Mass+1e-12 {
				t.Errorf("%s holds %g of the mass, the oracle %g", r.Pipeline, *r.Error.Mass, *recs[0].Error.Mass)
			}
		}
	}
}

// TestErrorOfGQAFallsWithHeads runs on a trace of a trained model: pooling fewer heads loses less.
func TestErrorOfGQAFallsWithHeads(t *testing.T) {
	tr := openTrace(t, "bytelm")
	recs := runCells(t, Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, "mqa", "gqa:heads=2", "gqa:heads=4", "gqa:heads=8"), Lengths: []int{256}, Decode: 16})
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
		for _, r := range runCells(t, Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, "full", "mha"), Lengths: []int{256}, Decode: -1}) {
			if !(r.Error.RelL2 < 2e-3) || r.Error.Cosine < 0.999 {
				t.Errorf("%s %s: rel_l2 %g, cosine %g", name, r.Pipeline, r.Error.RelL2, r.Error.Cosine)
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
		{"length beyond every trace", func(o *Options) { o.Lengths = []int{200, 1000} }, "--lengths 200: no trace holds that many tokens"},
		{"layer in no trace", func(o *Options) { o.Layers = []int{2, 9} }, "--layers 9: no trace holds it"},
		{"nothing applies", func(o *Options) { o.Pipelines = parse(t, "gqa:heads=3") }, "heads=3 does not divide 4 KV heads"},
		{"no prompt", func(o *Options) { o.Decode = 96 }, "leaves no prompt"},
		{"no memory", func(o *Options) { o.MaxMemory = 1000 }, "--max-memory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, "full"), Lengths: []int{96}, Decode: 16, MaxMemory: 1 << 30, Threads: 1}
			tt.change(&o)
			if _, err := NewPlan(o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestSkippedCells(t *testing.T) {
	tr := golden(t, "tiny")
	recs := runCells(t, Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, "full,gqa:heads=3"), Lengths: []int{96, 97}, Decode: 16})
	want := []string{"", "heads=3 does not divide 4 KV heads", "the trace holds 96 tokens", "the trace holds 96 tokens"}
	for i, r := range recs {
		if r.Reason != want[i] || (r.Status == OK) != (want[i] == "") || (r.Error == nil) != (want[i] != "") {
			t.Errorf("%s at %d: %s, %q, want %q", r.Pipeline, r.SeqLen, r.Status, r.Reason, want[i])
		}
	}
}

// TestLayersKeepTheirNumbers: a subset of layers gets the budgets that they have in the whole model.
func TestLayersKeepTheirNumbers(t *testing.T) {
	tr := golden(t, "gqa")
	o := Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, "pyramidkv:budget=60"), Lengths: []int{320}, Decode: 16, Kept: true}
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
