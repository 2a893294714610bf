package sim

import (
	"slices"
	"testing"

	"kvgauge/sim/trace"
)

// TestPlanOfAHeader lays out and cuts a plan though no trace is open.
func TestPlanOfAHeader(t *testing.T) {
	h := &trace.Header{Name: "t", Layers: []int{0, 1}, NumLayers: 2, Attention: slices.Repeat([]trace.Attention{{QHeads: 4, KVHeads: 2, QKDim: 16, VDim: 16}}, 2), Tokens: 512, Queries: 512}
	o := Options{Traces: []*trace.Header{h}, Pipelines: parse(t, "full,snapkv,gqa:heads=3"), Threads: 1, MaxMemory: 1 << 30, Page: 16}
	whole := planned(t, o)
	if len(whole.Cells) != 9 || whole.Cells[2].Skip == "" || whole.Cells[8].SeqLen != 512 || whole.Cells[8].Decode != 64 {
		t.Errorf("%+v", whole.Cells)
	}
	o.Shard = Shard{1, 2}
	if part := planned(t, o); len(part.Cells) == 0 || len(part.Cells) == len(whole.Cells) || part.Total != len(whole.Cells) {
		t.Errorf("%d of %d cells", len(part.Cells), part.Total)
	}
	if _, most := whole.Memory(0, 0); most <= 0 {
		t.Errorf("%d bytes", most)
	}
}
