package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestRopeTable holds it against Rope.Rotate, for successive and for scattered positions.
func TestRopeTable(t *testing.T) {
	const dim = 10
	r := rand.New(rand.NewPCG(3, 4))
	for _, gptj := range []bool{false, true} {
		rope := Rope{InvFreq: []float64{1, 0.3, 0.01, 1e-5}, GPTJ: gptj}
		table := NewRopeTable(rope)
		for _, pos := range [][]int32{{0}, {5, 6, 7, 8}, {62, 63, 64, 65, 127, 128}, {100000, 3, 70, 131071, 131072}} {
			heads := make([][]float32, 3)
			var want [][]float32
			for h := range heads {
				heads[h] = make([]float32, len(pos)*dim)
				for i := range heads[h] {
					heads[h][i] = float32(r.NormFloat64())
				}
				w := append([]float32(nil), heads[h]...)
				for n, at := range pos {
					rope.Rotate(w[n*dim:(n+1)*dim], float64(at))
				}
				want = append(want, w)
			}
			table.Rotate(pos, heads, dim)
			for h := range heads {
				for i, x := range heads[h] {
					if math.Abs(float64(x-want[h][i])) > 2e-6 {
						t.Errorf("positions %v, head %d, value %d: %g, want %g", pos, h, i, x, want[h][i])
					}
				}
			}
		}
	}
}
