package sim

import (
	"runtime"
	"testing"
	"weak"

	"kvgauge/sim/kernel"
)

// TestBytesWithoutDecode: with nothing decoded, what is read once and what is held at the end is the whole cache,
// ragged lengths, ring and maps included, even where it is larger than that of the trace's own heads.
func TestBytesWithoutDecode(t *testing.T) {
	o := Options{
		Traces: headers(golden(t, "gqa")), Lengths: []int{96}, Decode: new(0), Kept: true,
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
	sweep := ready(t, Options{
		Traces: headers(tr), Pipelines: parse(t, "snapkv:budget=24"), Lengths: []int{96}, Decode: new(16), Repeats: 5,
		Threads: 1, MaxMemory: 1 << 34, Page: 16,
	})
	pool := kernel.NewPool(1)
	defer pool.Close()
	c := sweep.plan.Cells[0]
	p := sweep.replay(c, pool)
	var err error
	if p.ref, err = newReference(t.Context(), c, p.rows, pool); err != nil {
		t.Fatal(err)
	}
	p.timing = newTiming(c, sweep.plan.Options, pool, bed(nil))
	m, err := p.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rec := m.record(c.blank(sweep.plan.Options, ""), c)
	held := weak.Make(p)
	p = nil
	runtime.GC()
	if held.Value() != nil {
		t.Error("the record holds the replay that it is of")
	}
	runtime.KeepAlive(&rec)
}
