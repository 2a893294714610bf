package sim

import (
	"slices"
	"testing"

	"kvgauge/sim/trace"
)

// TestLearnedStatistics: those of another text are weights, those of the prompt belong to the cache and say so;
// entries cost what they cost, and where everything fits nothing is learned.
func TestLearnedStatistics(t *testing.T) {
	for _, name := range []string{"tiny", "gqa"} {
		tr := golden(t, name)
		stats := int64(len(tr.Layers) * tr.QHeads * tr.HeadDim / 2 * 12)
		rows := int64(len(tr.Layers) * tr.KVHeads * (24 + 16) * tr.HeadDim * 4)
		o := Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, "triattention:budget=24", "triattention:budget=100%", "full"), Lengths: []int{96}, Decode: 16, Kept: true}
		own := runCells(t, o)
		o.Calibrate = itself(tr)
		other := runCells(t, o)
		if r := own[0]; *r.CacheBytes != rows+stats || *r.MetadataBytes != stats || *r.WeightBytes != 0 || codes(r) != "fitted-on-sequence" {
			t.Errorf("%s: learned on the prompt: cache %d, metadata %d, weights %d, warnings %s", name, *r.CacheBytes, *r.MetadataBytes, *r.WeightBytes, codes(r))
		}
		if r := other[0]; *r.CacheBytes != rows || *r.MetadataBytes != 0 || *r.WeightBytes != stats || codes(r) != "" {
			t.Errorf("%s: learned on another text: cache %d, metadata %d, weights %d, warnings %s", name, *r.CacheBytes, *r.MetadataBytes, *r.WeightBytes, codes(r))
		}
		for _, recs := range [][]Record{own, other} {
			if a, b := recs[1], recs[2]; *a.CacheBytes != *b.CacheBytes || !slices.Equal(a.Error.RelL2Layers, b.Error.RelL2Layers) || codes(a) != "budget-above-length" {
				t.Errorf("%s: with room for everything: %d bytes, errors %v, warnings %s", name, *a.CacheBytes, a.Error.RelL2Layers, codes(a))
			}
		}
	}
}
