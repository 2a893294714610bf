package sim

import (
	"testing"

	"kvgauge/sim/trace"
)

// TestHeld: traces keep as many layers as leave room for the dearest cell, the first ones first.
func TestHeld(t *testing.T) {
	first, second := golden(t, "tiny"), golden(t, "gqa")
	o := Options{
		Traces: headers(first, second), Pipelines: parse(t, "full", "mha"), Lengths: []int{64, 96},
		Decode: new(16), Repeats: 5, Threads: 1, MaxMemory: 1 << 40,
	}
	plan := planned(t, o)
	dearest, need := int64(0), map[*trace.Header]int64{}
	for _, c := range plan.Cells {
		dearest = max(dearest, c.Memory)
		tr := c.Trace
		need[tr] = 4 * 96 * int64(len(tr.Layers)*tr.HeadDim*(2*tr.KVHeads+tr.QHeads))
	}
	both := need[&first.Header] + need[&second.Header]
	room := collected(need[&first.Header]) + collected(need[&second.Header]) // with the garbage between them
	for _, tt := range []struct{ memory, want int64 }{
		{dearest + room, both},
		{dearest + room - 100, both - need[&second.Header]/int64(len(second.Layers))},
		{dearest + collected(need[&first.Header]), need[&first.Header]},
		{dearest + collected(need[&first.Header]/int64(len(first.Layers))), need[&first.Header] / int64(len(first.Layers))},
		{dearest + collected(min(need[&first.Header]/int64(len(first.Layers)), need[&second.Header]/int64(len(second.Layers)))) - 100, 0},
	} {
		plan.MaxMemory = tt.memory
		if got := plan.RowBytes(); got != tt.want {
			t.Errorf("%d bytes allowed beyond the dearest cell: %d held, want %d", tt.memory-dearest, got, tt.want)
		}
		loaded, err := Load(t.Context(), plan, plan.inputs())
		if err != nil {
			t.Fatal(err)
		}
		var held int64
		for _, r := range loaded.rows {
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
