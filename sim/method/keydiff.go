package method

import (
	"math"

	"gonum.org/v1/gonum/floats"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "keydiff", Family: Eviction,
		Summary: "prompt entries whose keys point away from the mean direction of the head's keys",
		Reduces: "entries",
		Paper:   "Park et al. 2025, arXiv:2504.15364",
		Code:    "NVIDIA/kvpress kvpress/presses/keydiff_press.py, block_press.py",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries kept per KV head"},
			{Name: "block", Default: "0", Max: 1 << 30, Help: "prompt tokens that come in at a time, the best of them and of what is held staying; 0: all at once"},
		},
		Variants: []string{"block=16"},
		New:      func(a Args) (Method, error) { return keyDiff{a.Budget("budget"), a.Int("block")}, nil },
	})
}

// keyDiff is eviction by the similarity of keys (Park et al. 2025). It needs no queries. Keys are compared after the
// rotary embedding, as they are stored.
//
// Differs: the paper compresses block by block while the prompt comes in, to bound memory; the default here
// scores the whole prompt once, as kvpress does, and block=128 is the paper's way.
type keyDiff struct {
	budget Entries
	block  int
}

// Fit accepts every cell.
func (m keyDiff) Fit(c Cell) (Cell, error) { return c, nil }

// Decide keeps the most distinct keys of each head.
func (m keyDiff) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget, rows := m.budget.Of(c.SeqLen), v.Rows(0)
	d := cache.Decision{Warnings: aboveLength(budget, rows, "prompt")}
	if budget >= rows {
		return d, nil
	}
	block := m.block
	if block == 0 {
		block = rows
	}
	d.Keep = make([][]int32, v.Heads())
	c.Pool.Run(len(d.Keep), func(_, j int) {
		keep := span(0, budget)
		for lo := budget; lo < rows; lo += block {
			held := append(keep, span(lo, min(lo+block, rows))...)
			keep = nil
			for _, i := range topK(distinct(v.K[j], v.Dim, held), budget) {
				keep = append(keep, held[i])
			}
		}
		d.Keep[j] = keep
	})
	return d, nil
}

// size is that of the budget.
func (m keyDiff) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(m.budget.Of(c.SeqLen))
	return nil
}

// distinct returns minus the cosine of each of some rows of k with their anchor, the mean of the rows scaled
// to unit length. The smallest lengths, 1e-12 and 1e-8, are those of PyTorch's normalize and cosine_similarity.
func distinct(k []float32, dim int, rows []int32) []float64 {
	if len(rows) < len(k)/dim {
		held := make([]float32, 0, len(rows)*dim)
		for _, i := range rows {
			held = append(held, row(k, dim, int(i))...)
		}
		k = held
	}
	lengths, weights := squaredLengths(k, dim), make([]float64, len(rows))
	for i, s := range lengths {
		lengths[i] = math.Sqrt(s)
		weights[i] = 1 / max(lengths[i], 1e-12) / float64(len(rows))
	}
	anchor := kernel.ProductExact(weights, len(rows), k, dim)
	long := max(floats.Norm(anchor, 2), 1e-8)
	scores := kernel.DotsExact(anchor, dim, -1, k)
	for i := range scores {
		// Parallel keys tie, whatever their lengths: float32 hides how their cosines were rounded.
		scores[i] = float64(float32(scores[i] / (max(lengths[i], 1e-8) * long)))
	}
	return scores
}
