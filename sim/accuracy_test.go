package sim

import (
	"math"
	"slices"
	"testing"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// TestErrorsOfPlainLoops recomputes every figure of an error from the trace and the kept positions alone, in
// float64 and one row after the other. Only the rounding of the kernels' float32 may lie between.
func TestErrorsOfPlainLoops(t *testing.T) {
	tr := golden(t, "gqa")
	own := []int{0, 1, 2, 3, 4, 5}
	for _, c := range []struct {
		spec      string
		heads     int   // stored
		producers []int // by layer
	}{
		{"full", 2, own},
		{"mqa", 1, own},
		{"snapkv", 2, own},
		{"cla", 2, []int{0, 0, 2, 2, 4, 4}},
		{"cla:factor=4", 2, []int{0, 0, 2, 2, 2, 2}},
		{"cla:factor=3+snapkv:window=4", 2, []int{0, 0, 0, 3, 3, 3}},
		{"mqa+cla:factor=4+knorm", 1, []int{0, 0, 2, 2, 2, 2}},
	} {
		for _, decode := range []int{0, 2, 14} {
			o := Options{Traces: headers(tr), Pipelines: parse(t, c.spec), Lengths: []int{120}, Decode: new(decode), Kept: true}
			rec := runCells(t, o)[0]
			got, want := rec.Error, plainErrors(t, tr, rec, c.heads, c.producers)
			if got.Mass == nil {
				want.Mass, want.LateMass = nil, nil
			}
			for name, pair := range map[string][2][]float64{
				"rel_l2":             {{got.RelL2}, {want.RelL2}},
				"rel_l2_worst_layer": {known(got.RelL2WorstLayer), known(want.RelL2WorstLayer)},
				"rel_l2_p95":         {known(got.RelL2P95), known(want.RelL2P95)},
				"rel_l2_layers":      {got.RelL2Layers, want.RelL2Layers},
				"rel_l2_quarters":    {got.RelL2Quarters, want.RelL2Quarters},
				"cosine":             {known(got.Cosine), known(want.Cosine)},
				"max_abs":            {known(got.MaxAbs), known(want.MaxAbs)},
				"mass":               {known(got.Mass), known(want.Mass)},
				"late_mass":          {known(got.LateMass), known(want.LateMass)},
			} {
				if !slices.EqualFunc(pair[0], pair[1], func(a, b float64) bool { return math.Abs(a-b) < 3e-6 }) {
					t.Errorf("%s, %d decoded: %s %v, plain loops have %v", rec.Pipeline, decode, name, pair[0], pair[1])
				}
			}
		}
	}
}

func known(x *float64) []float64 {
	if x == nil {
		return nil
	}
	return []float64{*x}
}

// plainErrors are the errors of a one-shot pipeline that stores so many heads a layer in f16, those of the
// layer that producers names: a step attends the kept entries and the tokens decoded so far.
func plainErrors(t *testing.T, tr *trace.Trace, rec record.Record, heads int, producers []int) *record.ErrorStats {
	t.Helper()
	prompt, steps := rec.SeqLen-rec.Decode, max(1, rec.Decode)
	var mass, late, cosine, maxAbs float64
	var rows, layers []float64
	var quarters [4][]float64
	for layer, producer := range producers {
		exact, q := plainLayer(t, tr, layer, rec.SeqLen)
		made, _ := plainLayer(t, tr, producer, rec.SeqLen)
		stored := pooled(made, heads)
		diffs, norms := make([]float64, steps), make([]float64, steps)
		for h := range q {
			k := exact[h/(len(q)/len(exact))]
			minor := make([]bool, prompt)
			for i := range minor {
				minor[i] = true
			}
			for at := prompt - min(256, prompt/4); at < prompt; at++ {
				_, prob := k.attend(q[h][at], upTo(at), tr.Attention[0].Scale)
				for i, p := range prob {
					minor[i] = minor[i] && p < 1/float64(at+1)
				}
			}
			for i := range steps {
				at := rec.SeqLen - steps + i
				out, prob := k.attend(q[h][at], upTo(at), tr.Attention[0].Scale)
				j := h / (len(q) / heads)
				held := slices.Clone(rec.Kept[layer][j])
				for n := prompt; n <= at; n++ {
					held = append(held, int32(n))
				}
				got, _ := stored[j].attend(q[h][at], held, tr.Attention[0].Scale)
				var diff, norm, other, dot float64
				for c := range out {
					d := got[c] - out[c]
					diff, norm, other, dot = diff+d*d, norm+out[c]*out[c], other+got[c]*got[c], dot+got[c]*out[c]
					maxAbs = max(maxAbs, math.Abs(d))
				}
				diffs[i], norms[i] = diffs[i]+diff, norms[i]+norm
				rows = append(rows, math.Sqrt(diff/norm))
				cosine += dot / math.Sqrt(norm*other)
				for n, p := range prob {
					switch {
					case slices.Contains(held, int32(n)):
						mass += p
					case minor[n]:
						late += p
					}
				}
			}
		}
		layers = append(layers, relative(diffs, norms))
		for n := range quarters { // step i is of quarter 4i/steps, rounded down
			if from, to := (n*steps+3)/4, ((n+1)*steps+3)/4; from < to {
				quarters[n] = append(quarters[n], relative(diffs[from:to], norms[from:to]))
			}
		}
	}
	n := float64(len(rows))
	mass, late = mass/n, late/n
	slices.Sort(rows)
	s := &record.ErrorStats{
		RelL2: mean(layers), RelL2Layers: layers, RelL2WorstLayer: new(slices.Max(layers)), RelL2P95: &rows[int(math.Ceil(0.95*n))-1],
		Cosine: new(cosine / n), MaxAbs: &maxAbs, Mass: &mass, LateMass: &late,
	}
	for _, of := range quarters {
		if len(of) > 0 {
			s.RelL2Quarters = append(s.RelL2Quarters, mean(of))
		}
	}
	return s
}
