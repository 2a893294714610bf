package sim

import (
	"math"
	"math/rand/v2"
	"testing"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// TestMass holds the sums against single probabilities, over more keys than are multiplied at a time.
func TestMass(t *testing.T) {
	const n, decode, heads, dim, scale = 3*massRows + 300, 5, 2, 3, 1.5
	r := rand.New(rand.NewPCG(1, 2))
	rows := func(mean float64) []float32 {
		xs := make([]float32, n*dim)
		for i := range xs {
			xs[i] = float32(mean + r.NormFloat64()/4)
		}
		return xs
	}
	// Queries that resemble each other ignore the same keys.
	l := &trace.Layer{K: [][]float32{rows(0)}, V: [][]float32{rows(0)}, Q: [][]float32{rows(2), rows(-2)}}
	c := Cell{SeqLen: n, Decode: decode, Trace: &trace.Header{Layers: []int{7}, Attention: []trace.Attention{{QHeads: heads, KVHeads: 1, QKDim: dim, VDim: dim, Scale: scale}}}}
	ref := exact(c, 7, l, nil)
	for h, minor := range ref.minor {
		ignored := 0
		for _, m := range minor {
			if m {
				ignored++
			}
		}
		if ignored <= massRows || n-ignored <= massRows {
			t.Fatalf("query head %d: %d of %d keys are minor, want more than %d that are and that are not", h, ignored, n, massRows)
		}
	}
	for _, tt := range []struct {
		name     string
		attended func(step, at int) bool
	}{
		{"all", func(int, int) bool { return true }},
		{"none", func(int, int) bool { return false }},
		{"a sliding window", func(s, at int) bool { return at < 4 || at > n/2+s }},
		{"half, by step", func(int, int) bool { return r.IntN(2) == 0 }},
		{"few", func(int, int) bool { return r.IntN(100) == 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMass(c)
			m.attended[7] = make([]uint64, decode*heads*m.words)
			var held, late float64
			for s := range decode {
				for h := range heads {
					row := s*heads + h
					for at := range c.firstStep() + s + 1 {
						q := l.Q[h][(c.firstStep()+s)*dim:][:dim]
						p := math.Exp(kernel.LogitExact(q, l.K[0][at*dim:(at+1)*dim], scale) - ref.lse[row])
						minor := at < len(ref.minor[h]) && ref.minor[h][at]
						switch {
						case tt.attended(s, at):
							m.attended[7][row*m.words+at/64] |= 1 << (at % 64)
							held += p
						case minor:
							late += p
						}
					}
				}
			}
			m.add(nil, ref, 7, l)
			if math.Abs(m.held-held) > 1e-12 || math.Abs(m.late-late) > 1e-12 || !m.lateKnown || len(m.attended) > 0 {
				t.Errorf("held %v, late %v; want %v and %v", m.held, m.late, held, late)
			}
			if tt.name == "all" && m.late != 0 {
				t.Errorf("late %g of what was all attended", m.late)
			}
		})
	}
}
