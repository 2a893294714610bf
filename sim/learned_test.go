package sim

import (
	"slices"
	"testing"

	"kvgauge/sim/record"
)

// TestLearnedStatistics: those of another text are weights, those of the prompt belong to the cache and say so;
// entries cost what they cost, and where everything fits nothing is learned.
func TestLearnedStatistics(t *testing.T) {
	for _, name := range []string{"tiny", "gqa"} {
		tr := golden(t, name)
		for spec, stats := range map[string]int{
			"triattention:interval=0":               len(tr.Layers) * tr.Attention[0].QHeads * tr.Attention[0].QKDim / 2 * 12,
			"triattention:interval=0,mode=union":    len(tr.Layers) * tr.Attention[0].QHeads * tr.Attention[0].QKDim / 2 * 12,
			"triattention:interval=0,mode=per_head": len(tr.Layers) * tr.Attention[0].QHeads * tr.Attention[0].QKDim / 2 * 12,
			"qfilters:recent=0":                     len(tr.Layers) * tr.Attention[0].KVHeads * tr.Attention[0].QKDim * 4,
		} {
			stats, rows := int64(stats), int64(len(tr.Layers)*tr.Attention[0].KVHeads*(24+16)*tr.Attention[0].QKDim*4)
			o := Options{Traces: headers(tr), Pipelines: parse(t, spec+",budget=24", spec+",budget=100%", "full"), Lengths: []int{96}, Decode: new(16), Kept: true}
			own := runCells(t, o)
			o.Calibrate = itself(tr)
			other := runCells(t, o)
			if r := own[0]; *r.CacheBytes != rows+stats || *r.MetadataBytes != stats || *r.WeightBytes != 0 || codes(r) != "fitted-on-sequence" {
				t.Errorf("%s: %s learned on the prompt: cache %d, metadata %d, weights %d, warnings %s", name, spec, *r.CacheBytes, *r.MetadataBytes, *r.WeightBytes, codes(r))
			}
			if r := other[0]; *r.CacheBytes != rows || *r.MetadataBytes != 0 || *r.WeightBytes != stats || codes(r) != "" {
				t.Errorf("%s: %s learned on another text: cache %d, metadata %d, weights %d, warnings %s", name, spec, *r.CacheBytes, *r.MetadataBytes, *r.WeightBytes, codes(r))
			}
			for _, recs := range [][]record.Record{own, other} {
				if a, b := recs[1], recs[2]; *a.CacheBytes != *b.CacheBytes || !slices.Equal(a.Error.RelL2Layers, b.Error.RelL2Layers) || codes(a) != "budget-above-length" {
					t.Errorf("%s: %s with room for everything: %d bytes, errors %v, warnings %s", name, spec, *a.CacheBytes, a.Error.RelL2Layers, codes(a))
				}
			}
		}
	}
}
