package stats

import (
	"math/rand/v2"
	"testing"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// noise is a row that its arguments determine.
func noise(seed, i int) [4]float32 {
	rng := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
	var x [4]float32
	for c := range x {
		x[c] = float32(rng.NormFloat64())
	}
	return x
}

// TestAdjacentOfLinearMap: the second layer's keys, before the embedding, are a linear map of the first's
// that does not commute with rotation; its values have nothing to do with the first's.
func TestAdjacentOfLinearMap(t *testing.T) {
	rope := kernel.Rope{InvFreq: []float64{1, 0.3}}
	tr := handmade(1024, 1, func(layer int, kind string, i int) [4]float32 {
		if kind != "k" {
			return noise(layer, i)
		}
		x := noise(7, i)
		if layer == 1 {
			x = [4]float32{x[1] + x[2], -x[0], 3 * x[3], x[2]}
		}
		rope.Rotate(x[:], float64(i))
		return x
	})
	for i := range tr.Attention {
		tr.Attention[i].Rope = trace.Rope{Style: "neox", Dims: 4, InvFreq: rope.InvFreq}
	}
	layers := statsOf(t, tr, Options{}).Layers
	a := layers[1].Adjacent
	closeTo(t, "key variance", a.KeyMapVariance, 0.999, 1)
	closeTo(t, "key residual", a.KeyMapResidual, 0, 0.03)
	closeTo(t, "value variance", a.ValueMapVariance, -0.05, 0.05)
	closeTo(t, "value residual", a.ValueMapResidual, 0.98, 1.02)
	closeTo(t, "value cosine", a.ValueCosine, -0.1, 0.1)
	closeTo(t, "value raw residual", a.ValueResidual, 1.3, 1.5)
	if layers[0].Adjacent != (Adjacent{}) {
		t.Errorf("the lowest layer is compared: %+v", layers[0].Adjacent)
	}
}

// TestAdjacentAsTheyAre: keys of opposite sign and values twice as large have closed forms, and a mean row
// is not taken for a likeness.
func TestAdjacentAsTheyAre(t *testing.T) {
	tr := handmade(256, 1, func(layer int, kind string, i int) [4]float32 {
		x := noise(1, i)
		for c := range x {
			switch {
			case kind == "k" && layer == 1:
				x[c] = -x[c]
			case kind == "v" && layer == 1:
				x[c] *= 2
			}
		}
		return x
	})
	a := statsOf(t, tr, Options{}).Layers[1].Adjacent
	closeTo(t, "key cosine", a.KeyCosine, -1, -1+1e-9)
	closeTo(t, "key residual", a.KeyResidual, 2-1e-9, 2+1e-9)
	closeTo(t, "key variance", a.KeyMapVariance, 0.999, 1)
	closeTo(t, "value cosine", a.ValueCosine, 1-1e-9, 1+1e-9)
	closeTo(t, "value residual", a.ValueResidual, 0.5-1e-9, 0.5+1e-9)

	tr = handmade(256, 1, func(layer int, _ string, i int) [4]float32 {
		x := noise(layer, i)
		x[0] += 100
		return x
	})
	a = statsOf(t, tr, Options{}).Layers[1].Adjacent
	closeTo(t, "cosine of means", a.KeyCosine, 0.99, 1)
	closeTo(t, "variance beside means", a.KeyMapVariance, -0.5, 0.1)
}

// TestAdjacentOnlyNeighbours: layers 0 and 2 of a model are not adjacent, whatever the trace holds; one
// token is too few to fit, zeros have no map.
func TestAdjacentOnlyNeighbours(t *testing.T) {
	row := func(_ int, _ string, i int) [4]float32 { return noise(1, i) }
	tr := handmade(64, 1, row)
	read := tr.read
	tr.read = func(layer, tokens int) (*trace.Layer, error) { return read(layer/2, tokens) }
	tr.Layers = []int{0, 2}
	s := statsOf(t, tr, Options{})
	if s.Layers[1].Adjacent != (Adjacent{}) || s.Mean.Adjacent != (Adjacent{}) {
		t.Errorf("layers 0 and 2 are compared: %+v", s.Layers[1].Adjacent)
	}
	if s.Layers[1].ValueSimilarity == nil {
		t.Error("the likeness to the layer before in the trace is gone")
	}
	a := statsOf(t, handmade(1, 1, row), Options{}).Mean
	if a.KeyMapVariance != nil || a.KeyMapResidual != nil || a.KeyCosine == nil {
		t.Errorf("one token: %+v", a.Adjacent)
	}
	a = statsOf(t, handmade(8, 1, func(int, string, int) [4]float32 { return [4]float32{} }), Options{}).Mean
	if a.Adjacent != (Adjacent{}) {
		t.Errorf("zeros: %+v", a.Adjacent)
	}
}
