package sim

import (
	"math"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/trace"
)

// TestKVzip: without a second pass it is skipped; with one it keeps, of the context, the entries with the largest
// probability in any of its queries, and everything after the context.
func TestKVzip(t *testing.T) {
	tr := golden(t, "gqa")
	o := Options{Traces: []*trace.Trace{tr}, Pipelines: parse(t, "full", "kvzip:budget=20", "kvzip:budget=100%"), Lengths: []int{300}, Decode: 20, Kept: true}
	for _, r := range runCells(t, o)[1:] {
		if r.Status != Skipped || !strings.Contains(r.Reason, "repeat_span") {
			t.Errorf("%s without a second pass: %s %q", r.Pipeline, r.Status, r.Reason)
		}
	}
	const first, last = 120, 199
	tr.Repeat = trace.Span{First: first, Last: last}
	defer func() { tr.Repeat = trace.Span{} }()
	recs := runCells(t, o)
	l, err := tr.Read(3, 280)
	if err != nil {
		t.Fatal(err)
	}
	d, group := tr.HeadDim, tr.QHeads/tr.KVHeads
	for j := range tr.KVHeads {
		best := make([]float64, first)
		for h := j * group; h < (j+1)*group; h++ {
			for pos := first; pos <= last; pos++ {
				p, sum := make([]float64, pos+1), 0.0
				for i := range p {
					for c := range d {
						p[i] += tr.Scale * float64(l.Q[h][(pos-l.FirstQuery)*d+c]) * float64(l.K[j][i*d+c])
					}
					p[i] = math.Exp(p[i])
					sum += p[i]
				}
				for i := range best {
					best[i] = max(best[i], p[i]/sum)
				}
			}
		}
		sorted := slices.Sorted(slices.Values(best))
		kept := recs[1].Kept[3][j]
		if len(kept) != 20+280-first || kept[20] != first {
			t.Fatalf("head %d keeps %d entries, the 21st at %d", j, len(kept), kept[20])
		}
		for _, pos := range kept[:20] {
			if best[pos] < sorted[first-20]-1e-9 {
				t.Errorf("head %d keeps %d with probability %g; the 20th best has %g", j, pos, best[pos], sorted[first-20])
			}
		}
	}
	if !slices.Equal(recs[2].Error.RelL2Layers, recs[0].Error.RelL2Layers) || codes(recs[2]) != "budget-above-length" {
		t.Errorf("with room for everything: errors %v, warnings %s", recs[2].Error.RelL2Layers, codes(recs[2]))
	}
	o.Lengths = []int{200}
	if r := runCells(t, o)[1]; r.Status != Skipped || !strings.Contains(r.Reason, "after the prompt") {
		t.Errorf("a pass beyond the prompt: %s %q", r.Status, r.Reason)
	}
}
