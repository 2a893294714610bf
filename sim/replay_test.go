package sim

import (
	"runtime"
	"testing"
	"weak"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// TestBytesWithoutDecode: with nothing decoded, what is read once and what is held at the end is the whole cache,
// ragged lengths, ring and maps included, even where it is larger than that of the trace's own heads.
func TestBytesWithoutDecode(t *testing.T) {
	o := Options{
		Traces: []*trace.Trace{golden(t, "gqa")}, Lengths: []int{96}, Decode: 0, Kept: true,
		Pipelines: parse(t, "full", "mha", "adakv", "streamingllm", "int8", "h2o", "adakv+int8"),
	}
	for _, r := range runCells(t, o) {
		if *r.TrafficBytes != *r.CacheBytes {
			t.Errorf("%s: traffic %d, want the cache's %d", r.Pipeline, *r.TrafficBytes, *r.CacheBytes)
		}
		if *r.PeakBytes < *r.CacheBytes {
			t.Errorf("%s: peak %d is below the cache's %d", r.Pipeline, *r.PeakBytes, *r.CacheBytes)
		}
	}
}

// TestRecordHoldsNoStores: a run keeps its records, and nothing of the replays that they are of may stay with them.
func TestRecordHoldsNoStores(t *testing.T) {
	tr := golden(t, "tiny")
	plan, err := NewPlan(Options{
		Traces: []*trace.Trace{tr}, Pipelines: parse(t, "snapkv:budget=24"), Lengths: []int{96}, Decode: 16, Repeats: 5,
		Threads: 1, MaxMemory: 1 << 34, Page: 16,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	timed(plan, nil)
	r := &runner{plan: plan, pool: kernel.NewPool(1), rows: plan.rows[tr], refs: map[int]*reference{}}
	defer r.pool.Close()
	p := &replay{cell: plan.Cells[0], runner: r, timing: newTiming(plan.Cells[0], plan.Options)}
	rec, err := plan.blank(p.cell)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.compare(t.Context(), p, &rec); err != nil {
		t.Fatal(err)
	}
	held := weak.Make(p)
	p = nil
	runtime.GC()
	if held.Value() != nil {
		t.Error("the record holds the replay that it is of")
	}
	runtime.KeepAlive(&rec)
}
