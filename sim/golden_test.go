package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"kvgauge/sim/kernel"

	"kvgauge/sim/method"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// goldenRecord is one record of testdata/goldens: the entries that published code keeps of one head.
type goldenRecord struct {
	Source string         `json:"source"`
	Params map[string]any `json:"params"`
	Layer  int            `json:"layer"`
	KVHead int            `json:"kv_head"`
	QHead  *int           `json:"q_head"`
	Kept   []int32        `json:"kept"`
	Tied   []int32        `json:"tied"`
	RelL2  float64        `json:"rel_l2_last"`
}

// pipelineOf says how a golden's parameters are asked for.
func (g goldenRecord) pipelineOf(file string) string {
	p := func(key string) any { return g.Params[key] }
	pool := strings.TrimSuffix(fmt.Sprint(p("pooling")), "pool")
	layout := ""
	if g.QHead != nil {
		layout = ",layout=query"
	}
	switch file {
	case "kvcache-factory.snapkv":
		return fmt.Sprintf("snapkv:budget=%v,kernel=%v,pool=%v,window=%v%s", p("max_capacity_prompt"), p("kernel_size"), pool, p("window_size"), layout)
	case "kvcache-factory.cam":
		return fmt.Sprintf("snapkv:budget=%v,kernel=1,pool=none,window=%v%s", p("max_capacity_prompt"), p("window_size"), layout)
	case "kvcache-factory.pyramidkv":
		return fmt.Sprintf("pyramidkv:beta=%v,budget=%v,kernel=%v,pool=%v,window=%v%s", p("beta"), p("max_capacity_prompt"), p("kernel_size"), pool, p("window_size"), layout)
	case "kvcache-factory.adakv":
		normalize := map[any]string{true: "on", false: "off"}[p("normalize")]
		return fmt.Sprintf("adakv:alpha=%v,budget=%v,kernel=%v,normalize=%s,pool=%v,window=%v%s", p("floor"), p("max_capacity_prompt"), p("kernel_size"), normalize, pool, p("window_size"), layout)
	case "kvcache-factory.l2norm":
		skip := ""
		for i, l := range p("skip_layers").([]any) {
			skip += []string{",skip=", "/"}[min(i, 1)] + fmt.Sprint(l)
		}
		return fmt.Sprintf("knorm:budget=%v%s", p("max_capacity_prompt"), skip)
	case "kvcache-factory.streamingllm":
		w := p("window_size").(float64)
		return fmt.Sprintf("streamingllm:recent=%v,sinks=%v", w, p("max_capacity_prompt").(float64)-w)
	case "kvcache-factory.h2o", "pyramidkv.h2o":
		return fmt.Sprintf("h2o:budget=%v,variant=%s,window=%v%s", p("max_capacity_prompt"), strings.TrimSuffix(file, ".h2o"), p("window_size"), layout)
	case "kvpress.observed_attention":
		return fmt.Sprintf("h2o:budget=%d,variant=kvpress", len(g.Kept))
	case "kvpress.tova":
		return fmt.Sprintf("tova:budget=%d,variant=kvpress", len(g.Kept))
	case "kvpress.snapkv":
		return fmt.Sprintf("snapkv:budget=%d,kernel=5,pool=avg,window=%v", len(g.Kept), p("window_size"))
	case "kvpress.pyramidkv":
		return fmt.Sprintf("pyramidkv:budget=%v%%,kernel=5,pool=avg,variant=kvpress,window=%v", 100*(1-p("compression_ratio").(float64)), p("window_size"))
	case "kvpress.adakv":
		return fmt.Sprintf("adakv:alpha=%v,budget=%v%%,kernel=5,pool=avg,variant=kvpress,window=%v", p("alpha_safeguard"), 100*(1-p("compression_ratio").(float64)), p("window_size"))
	case "kvpress.chunkkv":
		return fmt.Sprintf("chunkkv:budget=%v%%,chunk=%v,kernel=5,pool=avg,window=%v", 100*(1-p("compression_ratio").(float64)), p("chunk_length"), p("window_size"))
	case "kvpress.knorm", "kvpress.keydiff":
		return fmt.Sprintf("%s:budget=%d", strings.TrimPrefix(file, "kvpress."), len(g.Kept))
	case "kvpress.keydiff_block":
		return fmt.Sprintf("keydiff:block=%v,budget=%d", p("block_size"), len(g.Kept))
	case "kvpress.cur":
		return fmt.Sprintf("cur:budget=%d,sinks=%v,window=%v", len(g.Kept), p("num_sinks"), p("local_window_size"))
	case "kvpress.criticalkv":
		return fmt.Sprintf("criticalkv:budget=%d,kernel=5,pool=avg,window=%v", len(g.Kept), p("window_size"))
	case "kvpress.criticaladakv":
		return fmt.Sprintf("adakv:alpha=%v,budget=%v%%,kernel=5,pool=avg,variant=kvpress,window=%v+criticalkv", p("alpha_safeguard"), 100*(1-p("compression_ratio").(float64)), p("window_size"))
	case "cakekv.cake":
		return fmt.Sprintf("cake:budget=%v,gamma=%v,tau1=%v,tau2=%v,window=%v", p("cache_size"), p("gamma"), p("tau1"), p("tau2"), p("window_size"))
	case "kvpress.expected_attention":
		return fmt.Sprintf("expectedattention:budget=%d", len(g.Kept))
	case "kvpress.lagkv":
		return fmt.Sprintf("lagkv:budget=%d,lag=%v", len(g.Kept), p("lag_size"))
	case "kvpress.streamingllm":
		return fmt.Sprintf("streamingllm:recent=%d,sinks=4", len(g.Kept)-4)
	}
	return ""
}

// TestGoldens keeps exactly the entries that the published code keeps. Where scores tie at the boundary
// that code's choice is arbitrary: the count must agree, and the difference must lie among the tied.
func TestGoldens(t *testing.T) {
	for _, name := range []string{"tiny", "gqa"} {
		tr := openTrace(t, filepath.Join("..", "testdata", "goldens", name, "trace.safetensors"))
		files, err := filepath.Glob(filepath.Join("..", "testdata", "goldens", name, "kept", "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatal("no goldens", err)
		}
		goldens := map[string][]goldenRecord{} // by pipeline, as written
		var specs []string
		for _, file := range files {
			var records []goldenRecord
			readJSON(t, file, &records)
			for _, g := range records {
				spec := g.pipelineOf(strings.TrimSuffix(filepath.Base(file), ".json"))
				goldens[spec] = append(goldens[spec], g)
				specs = append(specs, spec)
			}
		}
		results := map[string]record.Record{}
		for _, rec := range runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, specs...), Lengths: []int{tr.Tokens}, Kept: true, Decode: new(0)}) {
			results[rec.Pipeline] = rec
		}
		for spec, records := range goldens {
			rec := results[parse(t, spec)[0].Name]
			if rec.Status != record.OK {
				t.Errorf("%s: %s: %s", spec, rec.Status, rec.Reason)
				continue
			}
			for _, g := range records {
				t.Run(fmt.Sprintf("%s/%s/layer=%d/head=%d", name, spec, g.Layer, g.KVHead), func(t *testing.T) { g.check(t, rec) })
			}
		}
	}
}

// check compares the kept entries of one head.
func (g goldenRecord) check(t *testing.T, rec record.Record) {
	heads := rec.Kept[g.Layer]
	got := heads[g.KVHead]
	if g.QHead != nil && len(heads) > *rec.KVHeads {
		got = heads[*g.QHead]
	}
	if len(got) != len(g.Kept) {
		t.Fatalf("keeps %d entries, want %d", len(got), len(g.Kept))
	}
	for _, pos := range g.Kept {
		if !slices.Contains(got, pos) && !slices.Contains(g.Tied, pos) {
			t.Errorf("drops %d", pos)
		}
	}
	for _, pos := range got {
		if !slices.Contains(g.Kept, pos) && !slices.Contains(g.Tied, pos) {
			t.Errorf("keeps %d", pos)
		}
	}
}

// TestGoldenErrors compares the error of a golden without ties, where all heads of the layer have a
// record, with the reference's: up to f16 storage.
func TestGoldenErrors(t *testing.T) {
	tr := openTrace(t, filepath.Join("..", "testdata", "goldens", "tiny", "trace.safetensors"))
	var want []struct {
		Method string
		Params map[string]any
		Layer  int
		RelL2  float64 `json:"rel_l2"`
	}
	readJSON(t, filepath.Join("..", "testdata", "goldens", "tiny", "sharing.json"), &want)
	checked := 0
	for _, g := range want {
		spec := map[string]string{"gqa": "gqa:heads=2", "mqa": "mqa", "cla": "cla:factor=2"}[g.Method]
		if spec == "" {
			continue
		}
		rec := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, spec), Lengths: []int{tr.Tokens}, Decode: new(32)})[0]
		if got := rec.Error.RelL2Layers[g.Layer]; got < g.RelL2-1e-3 || got > g.RelL2+1e-3 {
			t.Errorf("%s layer %d: rel_l2 %g, want %g", spec, g.Layer, got, g.RelL2)
		}
		checked++
	}
	if checked != 12 {
		t.Errorf("%d records checked, want 12", checked)
	}
}

// The helpers of this package's tests.

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func openTrace(t *testing.T, name string) *trace.Trace {
	t.Helper()
	tr, err := trace.Open(name, trace.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	tr.Unknown = slices.DeleteFunc(tr.Unknown, func(line string) bool {
		return strings.Contains(line, "field seed:") || strings.Contains(line, "field heavy_hitters:") // of the goldens
	})
	return tr
}

func parse(t testing.TB, specs ...string) []*method.Pipeline {
	t.Helper()
	ps, err := method.Parse(specs, []method.Entries{{Percent: 25}})
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

// runCells runs a plan without latency on two threads, unless the options say otherwise.
func runCells(t *testing.T, o Options) []record.Record {
	t.Helper()
	o.NoLatency = o.Repeats == 0
	o.Threads = max(1, o.Threads)
	o.MaxMemory, o.Page = 1<<34, 16
	sweep := ready(t, o)
	var records []record.Record
	if err := sweep.Run(context.Background(), bed(nil), func(r record.Record) error { records = append(records, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return records
}

// opened are the traces whose headers tests plan with.
var opened sync.Map

// headers returns those of open traces.
func headers(ts ...*trace.Trace) []*trace.Header {
	var hs []*trace.Header
	for _, t := range ts {
		opened.Store(&t.Header, t)
		hs = append(hs, &t.Header)
	}
	return hs
}

// inputs are the open traces of a plan.
func (p Plan) inputs() []*trace.Trace {
	var ts []*trace.Trace
	for _, h := range slices.Concat(p.Traces, slices.Collect(maps.Values(p.Calibrate))) {
		if t, ok := opened.Load(h); ok {
			ts = append(ts, t.(*trace.Trace))
		}
	}
	return ts
}

// planned lays out cells.
func planned(t *testing.T, o Options) Plan {
	t.Helper()
	plan, err := NewPlan(o)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// ready is a sweep of the options that can run.
func ready(t *testing.T, o Options) *Sweep {
	t.Helper()
	plan := planned(t, o)
	loaded, err := Load(context.Background(), plan, plan.inputs())
	if err != nil {
		t.Fatal(err)
	}
	sweep, err := loaded.Size(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return sweep
}

// bed is a machine whose caches flush empties; it may be nil.
func bed(flush func([][]byte)) *Testbed {
	return &Testbed{
		Roofline: kernel.Roofline{ReadGBs: 10, GFLOPs: 100}, Flushing: kernel.Flushing{Cold: true},
		flush: func(_ *kernel.Pool, buffers [][]byte) {
			if flush != nil {
				flush(buffers)
			}
		},
	}
}

// parseError is why a pipeline is refused.
func parseError(spec string) error {
	_, err := method.Parse([]string{spec}, []method.Entries{{Percent: 25}})
	return err
}
