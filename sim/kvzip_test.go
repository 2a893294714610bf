package sim

import (
	"math"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// TestKVzip: without a second pass it is skipped; with one it keeps, of the context, the entries with the largest
// probability in any of its queries, and everything after the context.
func TestKVzip(t *testing.T) {
	const first, last, budget = 120, 199, 20
	tr := golden(t, "gqa")
	specs := parse(t, "full", "kvzip:budget=20", "kvzip:budget=20,level=pair-uniform", "kvzip:budget=100%", "kvzip:budget=100%,level=pair-uniform")
	o := Options{Traces: headers(tr), Pipelines: specs, Lengths: []int{300}, Decode: new(20), Kept: true}
	for _, r := range runCells(t, o)[1:] {
		if r.Status != record.Skipped || !strings.Contains(r.Reason, "repeat_span") {
			t.Errorf("%s without a second pass: %s %q", r.Pipeline, r.Status, r.Reason)
		}
	}
	tr.Repeat = trace.Span{First: first, Last: last}
	defer func() { tr.Repeat = trace.Span{} }()
	recs := runCells(t, o)
	best := map[int][][]float64{}
	var all []float64
	for _, n := range tr.Layers {
		best[n] = mostLookedAt(t, tr, n, first, last)
		for _, head := range best[n] {
			all = append(all, head...)
		}
	}
	slices.Sort(all)
	threshold := all[len(all)-budget*len(all)/first]
	lengths, entries := map[int]bool{}, 0
	for _, n := range tr.Layers {
		for j, head := range best[n] {
			pair, uniform := recs[1].Kept[n][j], recs[2].Kept[n][j]
			if len(uniform) != budget+280-first || uniform[budget] != first {
				t.Fatalf("layer %d head %d keeps %d entries, the 21st at %d", n, j, len(uniform), uniform[budget])
			}
			least := slices.Sorted(slices.Values(head))[first-budget]
			for pos, p := range head {
				if slices.Contains(uniform, int32(pos)) && p < least-1e-9 {
					t.Errorf("layer %d head %d keeps %d with probability %g; the 20th best has %g", n, j, pos, p, least)
				}
				if kept := slices.Contains(pair, int32(pos)); kept && p < threshold-1e-9 || !kept && p > threshold+1e-9 {
					t.Errorf("layer %d head %d, entry %d with probability %g: kept %v at the threshold %g", n, j, pos, p, kept, threshold)
				}
			}
			entries += len(pair) + 20 // those decoded
			lengths[len(pair)] = true
		}
	}
	if above := entries - len(tr.Layers)*tr.Attention[0].KVHeads*(300-first); above != budget*len(tr.Layers)*tr.Attention[0].KVHeads-1 || len(lengths) == 1 {
		t.Errorf("%d entries are above the threshold, in heads of lengths %v", above, lengths)
	}
	if meta := int64(4 * len(tr.Layers) * (tr.Attention[0].KVHeads + 1)); *recs[1].MetadataBytes != meta || *recs[1].CacheBytes != int64(entries*4*tr.Attention[0].QKDim)+meta {
		t.Errorf("%d bytes and %d of metadata for %d entries", *recs[1].CacheBytes, *recs[1].MetadataBytes, entries)
	}
	for _, r := range recs[3:] {
		if !slices.Equal(r.Error.RelL2Layers, recs[0].Error.RelL2Layers) || codes(r) != "budget-above-length" {
			t.Errorf("%s: errors %v, warnings %s", r.Pipeline, r.Error.RelL2Layers, codes(r))
		}
	}
	o.Lengths = []int{200}
	if r := runCells(t, o)[1]; r.Status != record.Skipped || !strings.Contains(r.Reason, "after the prompt") {
		t.Errorf("a pass beyond the prompt: %s %q", r.Status, r.Reason)
	}
	o.Lengths, o.Layers = []int{300}, tr.Layers[1:]
	if r := runCells(t, o); r[1].Status != record.Skipped || !strings.Contains(r[1].Reason, "one threshold over all layers") || r[2].Status != record.OK {
		t.Errorf("a part of the layers: %s %q, uniform %s %q", r[1].Status, r[1].Reason, r[2].Status, r[2].Reason)
	}
}

// mostLookedAt returns, by KV head, the largest probability that a query of the tokens first to last of the head's
// group gives each entry before them.
func mostLookedAt(t *testing.T, tr *trace.Trace, layer, first, last int) (best [][]float64) {
	l, err := tr.Read(layer, 280, 0)
	if err != nil {
		t.Fatal(err)
	}
	d, group := tr.Attention[0].QKDim, tr.Attention[0].QHeads/tr.Attention[0].KVHeads
	for j := range tr.Attention[0].KVHeads {
		best = append(best, make([]float64, first))
		for h := j * group; h < (j+1)*group; h++ {
			for pos := first; pos <= last; pos++ {
				p, sum := make([]float64, pos+1), 0.0
				for i := range p {
					for c := range d {
						p[i] += tr.Attention[0].Scale * float64(l.Q[h][(pos-l.FirstQuery)*d+c]) * float64(l.K[j][i*d+c])
					}
					p[i] = math.Exp(p[i])
					sum += p[i]
				}
				for i := range first {
					best[j][i] = max(best[j][i], p[i]/sum)
				}
			}
		}
	}
	return best
}
