package method

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// TestPromptShares compares with float64 attention: the heads of one group, in two layers that share the store.
func TestPromptShares(t *testing.T) {
	const rows, dim, heads, group, n, from = 150, 20, 2, 3, 70, 60
	r := rand.New(rand.NewPCG(1, 2))
	values := func(n int) []float32 {
		xs := make([]float32, n)
		for i := range xs {
			xs[i] = float32(2 * r.NormFloat64())
		}
		return xs
	}
	v := &cache.View{Dim: dim, FirstQuery: from, Rules: slices.Repeat([][]kernel.Rule{slices.Repeat([]kernel.Rule{kernel.Scaled(0.3)}, heads*group)}, 2), Q: make([][][]float32, 2)}
	for range heads {
		v.K, v.Pos = append(v.K, values(rows*dim)), append(v.Pos, span(0, rows))
	}
	for l := range v.Q {
		for range heads * group {
			v.Q[l] = append(v.Q[l], values((rows-from)*dim))
		}
	}
	for _, tt := range []struct{ first, group int }{{0, group}, {group, group}, {1, 1}, {5, 1}} {
		sees := kernel.Sights(rows-n, n)
		want := make([]float64, n*rows)
		for _, layer := range v.Q {
			for h := tt.first; h < tt.first+tt.group; h++ {
				p, lse := kernel.LogitsExact(layer[h][(rows-n-from)*dim:], dim, kernel.Scaled(0.3), v.K[h/group], nil, sees)
				for i, x := range p {
					want[i] += math.Exp(x - lse[i/rows])
				}
			}
		}
		next := rows - n + 1
		promptProbabilities(v, tt.first, tt.group, n, addProbabilities, func(token int, share []float32) {
			if token != next || len(share) != token {
				t.Fatalf("%+v: token %d with %d rows, want token %d", tt, token, len(share), next)
			}
			for i, x := range share {
				if w := want[(token-1-(rows-n))*rows+i]; math.Abs(float64(x)-w) > 1e-4*w {
					t.Fatalf("%+v: token %d row %d: %g, want %g", tt, token, i, x, w)
				}
			}
			next++
		})
		if next != rows+1 {
			t.Errorf("%+v: ends before token %d", tt, next)
		}
	}
}
