package method

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// randomView is the rows and queries of one layer: 2 KV heads of 8, 4 query heads, a rotary embedding on 6
// of the 8 dimensions.
func randomView(t *testing.T, rows int) *cache.View {
	t.Helper()
	r := stream(1, 0, 0, 0)
	draw := func(n int) []float32 {
		xs := make([]float32, n)
		for i := range xs {
			xs[i] = float32(r.NormFloat64())
		}
		return xs
	}
	v := &cache.View{
		Layers: []int{0}, Dim: 8, VDim: 8, Rules: [][]kernel.Rule{slices.Repeat([]kernel.Rule{kernel.Scaled(1)}, 4)}, Rope: kernel.Rope{InvFreq: []float64{1, 0.1, 0.01}},
		Pos: [][]int32{span(0, rows), span(0, rows)}, Q: [][][]float32{{}},
	}
	for range 2 {
		v.K, v.V = append(v.K, draw(8*rows)), append(v.V, draw(8*rows))
	}
	for range 4 {
		v.Q[0] = append(v.Q[0], draw(8*rows))
	}
	return v
}

// TestSplitRopeLogits: with the embedding kept on every dimension that it turns, and a rank that holds the
// rest, the logits are those of attention; with it on none, those of keys and queries before it. With and
// without mixing heads.
func TestSplitRopeLogits(t *testing.T) {
	const rows = 60
	v := randomView(t, rows)
	var turned []int
	for j := range 2 {
		for c := range 6 {
			turned = append(turned, 8*j+c)
		}
	}
	for _, mix := range map[string][]*mat.Dense{"plain": nil, "mixed": mixing(v)} {
		for _, roped := range [][]int{turned, nil} {
			m := newSplitRope(v, roped, mix, 32-len(roped), 1)
			shape := m.Shape(v.Shape())
			row, q := make([]float32, shape.K), make([]float32, shape.K)
			for _, at := range [][2]int{{0, 0}, {10, 50}, {31, 59}} {
				key, query := at[0], at[1]
				k, val := [][]float32{v.K[0][key*8 : key*8+8], v.K[1][key*8 : key*8+8]}, [][]float32{v.V[0][key*8 : key*8+8], v.V[1][key*8 : key*8+8]}
				m.Row(key, k, val, [][]float32{row}, [][]float32{row})
				for h := range 4 {
					raw := v.Q[0][h][query*8 : query*8+8]
					m.Query(0, h, query, raw, q)
					want := kernel.LogitExact(raw, k[h/2], 1)
					if roped == nil {
						a, b := append([]float32(nil), raw...), append([]float32(nil), k[h/2]...)
						v.Rope.Rotate(a, -float64(query))
						v.Rope.Rotate(b, -float64(key))
						want = kernel.LogitExact(a, b, 1)
					}
					if got := kernel.LogitExact(q, row, 1); math.Abs(got-want) > 1e-3 {
						t.Errorf("mixed %v, %d dimensions under the embedding, key %d, query %d, head %d: logit %g, want %g", mix != nil, len(roped), key, query, h, got, want)
					}
					out := make([]float32, 8)
					m.Output(0, h, row[:shape.V], out)
					for c := range out {
						if math.Abs(float64(out[c]-val[h/2][c])) > 1e-4 {
							t.Errorf("value of head %d: %v, want %v", h/2, out, val[h/2])
						}
					}
				}
			}
		}
	}
}

// TestMixingPutsEnergyFirst: slot 0 holds at least as much energy of every pair as any head does.
func TestMixingPutsEnergyFirst(t *testing.T) {
	v := randomView(t, 50)
	for i := range v.K[0] { // heads that are nearly alike
		v.K[1][i] = v.K[0][i] + 0.1*v.K[1][i]
	}
	mix := mixing(v)
	for c := range 3 {
		energy := func(weight func(j int) float64) float64 {
			var sum float64
			for i := range 50 {
				for _, d := range []int{c, c + 3} {
					x := weight(0)*float64(v.K[0][i*8+d]) + weight(1)*float64(v.K[1][i*8+d])
					sum += x * x
				}
			}
			return sum
		}
		all := energy(func(j int) float64 { return float64(1 - j) }) + energy(func(j int) float64 { return float64(j) })
		if got := energy(func(j int) float64 { return mix[c].At(j, 0) }); got < 0.95*all {
			t.Errorf("pair %d: slot 0 holds %g of %g", c, got, all)
		}
	}
	if mix[6] != nil || mix[7] != nil {
		t.Error("dimensions without rotation are mixed")
	}
}

// TestKeyMapsCommute: a fitted key map gives the same logits before and after the rotary embedding.
func TestKeyMapsCommute(t *testing.T) {
	v := randomView(t, 60)
	ms, err := keyMaps(v.Rope, v.K[:1], v.K[1:], 8)
	if err != nil {
		t.Fatal(err)
	}
	q, k := v.Q[0][0][:8], v.K[0][:8]
	turned := make([]float32, 8)
	ms[0].Mul(q, turned)
	want := kernel.LogitExact(turned, k, 1)
	for _, by := range []float64{1, 7.5, -100} {
		q2, k2 := append([]float32(nil), q...), append([]float32(nil), k...)
		v.Rope.Rotate(q2, by)
		v.Rope.Rotate(k2, by)
		ms[0].Mul(q2, turned)
		if got := kernel.LogitExact(turned, k2, 1); math.Abs(got-want) > 1e-4 {
			t.Errorf("turned by %g: logit %g, want %g", by, got, want)
		}
	}
}
