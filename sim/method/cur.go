package method

import (
	"math"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "cur", Family: Eviction,
		Summary: "prompt entries whose keys and values are long beside their neighbours', and sinks",
		Reduces: "entries",
		Paper:   "Sengupta et al. 2025, arXiv:2509.15038 (CurDKV)",
		Code:    "NVIDIA/kvpress kvpress/presses/cur_press.py",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries kept per KV head, sinks included"},
			{Name: "sinks", Default: "4", Max: 1 << 20, Help: "first tokens that stay"},
			{Name: "window", Default: "16", Min: 1, Max: 1 << 20, Help: "tokens among which squared lengths are shares"},
		},
		New: func(a Args) (Method, error) { return cur{a.Budget("budget"), a.Int("sinks"), a.Int("window")}, nil },
	})
}

// cur stands in for the leverage scores of a CUR decomposition (Sengupta et al. 2025): a key's and a value's share of
// the squared lengths in its window, multiplied. It needs no queries.
//
// Differs from the paper, as kvpress does by default: lengths stand for leverage, without a random projection.
type cur struct {
	budget        Entries
	sinks, window int
}

// Fit refuses a budget that the sinks fill.
func (m cur) Fit(c Cell) (Cell, error) { return c, roomFor(c, m.sinks, "sinks", m.budget) }

// Decide keeps the sinks and the best of the rest of each head.
func (m cur) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	return keepBest(c, v, m.budget.Of(c.SeqLen), func(j int) []float64 {
		scores := m.shares(v.K[j], v.Dim)
		for i, s := range m.shares(v.V[j], v.VDim) {
			scores[i] *= s
			if i < m.sinks {
				scores[i] = math.Inf(1)
			}
		}
		return scores
	}), nil
}

// size is that of the budget.
func (m cur) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(m.budget.Of(c.SeqLen))
	return nil
}

// shares returns the squared length of each row of x [rows][dim] over the sum of those in its window, 0 where
// that is nothing.
func (m cur) shares(x []float32, dim int) []float64 {
	out := squaredLengths(x, dim)
	for lo := 0; lo < len(out); lo += m.window {
		window := out[lo:min(lo+m.window, len(out))]
		var all float64
		for _, s := range window {
			all += s
		}
		for i := range window {
			if all > 0 {
				window[i] /= all
			}
		}
	}
	return out
}
