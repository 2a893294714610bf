package sim

import (
	"testing"

	"kvgauge/sim/trace"
)

// TestHeld: traces keep their rows where these leave room for the dearest cell, the first ones first.
func TestHeld(t *testing.T) {
	first, second := golden(t, "tiny"), golden(t, "gqa")
	o := Options{
		Traces: []*trace.Trace{first, second}, Pipelines: parse(t, "full", "mha"), Lengths: []int{64, 96},
		Decode: 16, Repeats: 5, Threads: 1, MaxMemory: 1 << 40,
	}
	plan, err := NewPlan(o)
	if err != nil {
		t.Fatal(err)
	}
	dearest, need := int64(0), map[*trace.Trace]int64{}
	for _, c := range plan.Cells {
		dearest = max(dearest, c.Memory)
		tr := c.Trace
		need[tr] = 4 * 96 * int64(len(tr.Layers)*tr.HeadDim*(2*tr.KVHeads+tr.QHeads))
	}
	both := need[first] + need[second]
	room := collected(need[first]) + collected(need[second]) // with the garbage between them
	for _, tt := range []struct{ memory, want int64 }{
		{dearest + room, both},
		{dearest + room - 1, need[first]},
		{dearest + collected(need[first]), need[first]},
		{dearest + collected(min(need[first], need[second])) - 1, 0},
	} {
		plan.MaxMemory = tt.memory
		if got := plan.RowBytes(); got != tt.want {
			t.Errorf("%d bytes allowed beyond the dearest cell: %d held, want %d", tt.memory-dearest, got, tt.want)
		}
		if err := plan.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		var held int64
		for _, r := range plan.rows {
			for _, l := range r.held {
				for _, heads := range [][][]float32{l.K, l.V, l.Q} {
					for _, rows := range heads {
						held += 4 * int64(len(rows))
					}
				}
			}
		}
		if held != tt.want {
			t.Errorf("%d bytes allowed beyond the dearest cell: Load holds %d, want %d", tt.memory-dearest, held, tt.want)
		}
	}
}
