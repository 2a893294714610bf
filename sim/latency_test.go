package sim

import (
	"testing"
	"time"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

func TestCopyCount(t *testing.T) {
	want := func(bytes int64, n int) {
		t.Helper()
		if got := copyCount(bytes); got != n {
			t.Errorf("%d bytes: %d copies, want %d", bytes, got, n)
		}
	}
	want(coldCaches*llc(), 1)
	want(coldCaches*llc()-1, 2)
	want(llc(), coldCaches)
	want(4<<30, 1)
	want(0, int(coldCaches*llc()))
	for bytes := int64(1000); bytes < 1<<33; bytes *= 3 {
		n := int64(copyCount(bytes))
		if n > 1 && n*bytes > mostCopies || n*bytes < coldCaches*llc() && (n+1)*bytes < mostCopies {
			t.Errorf("%d bytes: %d copies", bytes, n)
		}
	}
}

func TestBound(t *testing.T) {
	limits := &kernel.Limits{ReadGBs: 10, GFLOPs: 100} // a byte takes as long as ten operations
	tests := []struct {
		step           time.Duration
		traffic, flops int64
		want           string
	}{
		{49 * time.Microsecond, 1000, 1, "overhead"},
		{50 * time.Microsecond, 1000, 9999, "memory"},
		{50 * time.Microsecond, 1000, 10001, "compute"},
	}
	for _, tt := range tests {
		p := &replay{runner: &runner{plan: &Plan{Limits: limits}}, traffic: tt.traffic, flops: tt.flops}
		if got := *p.bound(tt.step); got != tt.want {
			t.Errorf("%v for %d bytes and %d operations: %s, want %s", tt.step, tt.traffic, tt.flops, got, tt.want)
		}
	}
	if (&replay{runner: &runner{plan: &Plan{}}}).bound(time.Second) != nil {
		t.Error("a bound without limits")
	}
}

// TestLatencyLeavesFullAsItWas: every cell of a trace and length times itself against the same steps.
func TestLatencyLeavesFullAsItWas(t *testing.T) {
	tr := golden(t, "tiny")
	o := Options{
		Traces: []*trace.Trace{tr}, Pipelines: parse(t, "full", "snapkv:budget=24", "corm:recent=8,window=8"), Lengths: []int{96},
		Decode: 16, Repeats: 7, Threads: 1, MaxMemory: 1 << 34, Page: 16,
	}
	plan, err := NewPlan(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	plan.MeasureLimits()
	r := &runner{plan: plan}
	for _, c := range plan.Cells {
		rec, err := r.cell(t.Context(), c)
		if err != nil || rec.Status != OK {
			t.Fatal(rec.Reason, err)
		}
		l := rec.Latency
		if len(l.StepNS) != 7 || l.LoNS == nil || *l.LoNS > l.MedianNS || *l.HiNS < l.MedianNS || !l.Cold || l.Bound == nil || l.RatioToFull <= 0 {
			t.Errorf("%s: %+v", rec.Pipeline, l)
		}
		for _, stores := range r.full.layers {
			for _, s := range stores {
				if n := len(s.Pos(0)); n != 96-7 {
					t.Fatalf("after %s full's store holds %d entries, want 89", rec.Pipeline, n)
				}
			}
		}
	}
}
