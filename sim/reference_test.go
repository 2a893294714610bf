package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// TestMinor holds the search for minor keys against its definition, on rows that leave float32 in doubt, too: queries
// of zeros give every key exactly 1/t.
func TestMinor(t *testing.T) {
	const tokens, decode, dim, window = 700, 10, 16, 172
	r := rand.New(rand.NewPCG(3, 4))
	for _, strength := range []float32{0, 1e-4, 0.3, 1, 30, 3000} {
		h := &trace.Header{Tokens: tokens, Queries: tokens, Layers: []int{0}, Attention: []trace.Attention{{QHeads: 2, KVHeads: 1, QKDim: dim, VDim: dim, Scale: 0.25}}}
		l := &trace.Layer{K: [][]float32{make([]float32, tokens*dim)}, Q: [][]float32{make([]float32, tokens*dim), make([]float32, tokens*dim)}}
		for _, rows := range slices.Concat(l.K, l.Q) {
			for i := range rows {
				rows[i] = float32(r.NormFloat64())
			}
		}
		for i := range l.Q[1] {
			l.Q[1][i] *= strength
		}
		c := Cell{Trace: h, SeqLen: tokens, Decode: decode}
		got, want := minor(c, 0, l, 1, window), slices.Repeat([]bool{true}, c.prompt())
		for pos := c.prompt() - window; pos < c.prompt(); pos++ {
			logits := make([]float64, pos+1)
			var sum float64
			for i := range logits {
				logits[i] = kernel.LogitExact(l.Q[1][pos*dim:(pos+1)*dim], l.K[0][i*dim:(i+1)*dim], 0.25)
			}
			largest := slices.Max(logits)
			for _, x := range logits {
				sum += math.Exp(x - largest)
			}
			for i, x := range logits {
				if math.Exp(x-largest)/sum*float64(pos+1) >= 1-1e-6 {
					want[i] = false
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("strength %g: not the keys of the definition", strength)
		}
	}
}
