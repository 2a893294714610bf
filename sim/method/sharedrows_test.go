package method

import (
	"math"
	"math/rand/v2"
	"testing"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// TestChoose holds attention over shared rows against a sum of single logits, and wants the choice to be a fitted map
// where that reads the head's own rows exactly, the plain one where the fit is of no use, and the fit where
// there are no queries to try maps on.
func TestChoose(t *testing.T) {
	const dim, tokens, held = 8, 70, 20
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		return x
	}
	shared := [][]float32{random(tokens * dim), random(tokens * dim)}
	s := sharedRows{k: shared, v: shared, plainKey: selection(2*dim, dim, 0, 0), plainVal: selection(dim, 2*dim, 0, 0), keyNumber: 5, valNumber: 7}
	q := random(held * dim)
	on := &cache.View{Dim: dim, VDim: dim, FirstQuery: tokens - held, K: shared, V: shared, Q: [][][]float32{{q}}}
	second := selection(2*dim, dim, dim, 0) // keys of the second shared head
	secondVal := selection(dim, 2*dim, 0, dim)

	sees := kernel.Sights(tokens-2, 2)
	rule := kernel.Scaled(0.3)
	rules := []kernel.Rule{rule}
	turned := cache.NewMatrix(2*dim, dim)
	copy(turned.Data, random(2*dim*dim))
	for i, row := range [][]float32{q[(held-2)*dim : (held-1)*dim], q[(held-1)*dim:]} {
		wide, want, sum := make([]float32, 2*dim), make([]float64, 2*dim), 0.0
		turned.Mul(row, wide)
		for at := range sees[i].Rows {
			var logit float64
			for g, k := range shared {
				logit += kernel.LogitExact(wide[g*dim:(g+1)*dim], k[at*dim:(at+1)*dim], rule.Scale)
			}
			sum += math.Exp(logit)
			for c := range want {
				want[c] += math.Exp(logit) * float64(shared[c/dim][at*dim+c%dim])
			}
		}
		got := s.attend(on, turned, rule, q[(held-2)*dim:], sees)[i*2*dim : (i+1)*2*dim]
		for c, w := range want {
			if math.Abs(float64(got[c])-w/sum) > 1e-6 {
				t.Fatalf("query %d, channel %d: %g, want %g", i, c, got[c], w/sum)
			}
		}
	}

	got := s.choose(on, [][]float32{q}, rules, shared[1], shared[1], second, secondVal)
	if got.numbers != 12 || got.key.Row(dim)[0] != 1 || got.value.Row(0)[dim] != 1 {
		t.Errorf("a fit that is exact: %+v", got)
	}
	got = s.choose(on, [][]float32{q}, rules, shared[0], shared[0], second, secondVal)
	if got.numbers != 0 || got.key.Row(0)[0] != 1 || got.value.Row(0)[0] != 1 {
		t.Errorf("a fit of the wrong head: %+v", got)
	}
	on.FirstQuery, on.Q = tokens, [][][]float32{{nil}}
	if got = s.choose(on, [][]float32{nil}, rules, shared[0], shared[0], second, secondVal); got.numbers != 12 {
		t.Errorf("without queries: %+v", got)
	}
}
