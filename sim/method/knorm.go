package method

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "knorm", Family: Eviction,
		Summary: "prompt entries whose keys are shortest",
		Reduces: "entries",
		Paper:   "Devoto et al. 2024, arXiv:2406.11430",
		Code:    "NVIDIA/kvpress kvpress/presses/knorm_press.py; Zefan-Cai/KVCache-Factory pyramidkv/pyramidkv_utils.py (L2NormCluster)",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries kept per KV head"},
			{Name: "recent", Default: "0", Max: 1 << 30, Help: "last prompt entries that are always among them"},
			{Name: "skip", Kind: List, Max: 1 << 20, Auto: "none", Help: "layers left alone; KVCache-Factory's configuration skips 0/1"},
		},
		Variants: []string{"recent=9,skip=1/3", "recent=7"},
		New: func(a Args) (Method, error) {
			return knorm{a.Budget("budget"), a.Int("recent"), a.Ints("skip")}, nil
		},
	})
}

// knorm is eviction by the L2 norm of keys (Devoto et al. 2024). It needs no queries: a short key is one that many
// queries attend to, as the paper observes. A rotation keeps norms, so that keys are scored as they are stored.
//
// Differs: no layer is skipped by default, as in kvpress, where KVCache-Factory's configuration leaves the
// first two alone. Both codes protect nothing; recent is an addition.
type knorm struct {
	budget Entries
	recent int
	skip   []int
}

// Fit refuses a budget that the protected entries fill.
func (m knorm) Fit(c Cell) (Cell, error) { return c, roomFor(c, m.recent, "recent", m.budget) }

// Decide keeps the shortest keys of each head.
func (m knorm) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	if slices.Contains(m.skip, v.Layers[0]) {
		return cache.Decision{}, nil
	}
	return keepBest(c, v, m.budget.Of(c.SeqLen), func(j int) []float64 {
		scores := squaredLengths(v.K[j], v.Dim)
		floats.Scale(-1, scores)
		for i := max(0, len(scores)-m.recent); i < len(scores); i++ {
			scores[i] = math.Inf(1)
		}
		return scores
	}), nil
}

// size is that of the budget, but in layers that are skipped.
func (m knorm) size(c Cell, layers []int, s *cache.Size) error {
	if !slices.Contains(m.skip, layers[0]) {
		s.Keep(m.budget.Of(c.SeqLen))
	}
	return nil
}
