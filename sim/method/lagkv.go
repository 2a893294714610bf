package method

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "lagkv", Family: Eviction,
		Summary: "prompt entries whose channels spread most against the range of the tokens that follow, sinks and the last ones",
		Reduces: "entries",
		Paper:   "Liang et al. 2025, arXiv:2504.04704",
		Code:    "NVIDIA/kvpress kvpress/presses/lagkv_press.py",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries kept per KV head, sinks included"},
			{Name: "sinks", Default: "4", Max: 1 << 20, Help: "first tokens that score highest"},
			{Name: "lag", Default: "128", Min: 1, Max: 1 << 20, Help: "tokens of a part; each part is measured against the next"},
		},
		Variants: []string{"lag=16"},
		New: func(a Args) (Method, error) {
			return lagKV{a.Budget("budget"), a.Int("sinks"), a.Int("lag")}, nil
		},
	})
}

// lagKV is lag-relative scoring (Liang et al. 2025). It needs no queries. The tokens after the sinks are cut into
// parts of lag tokens, and a part's score is a rank within it, so that parts give up as many entries each. The last
// whole part and what is left behind it score highest, as the sinks do.
//
// Differs from the paper, as kvpress does: the prompt is compressed once, at its end, to a given number of
// entries.
type lagKV struct {
	budget     Entries
	sinks, lag int
}

// Fit refuses a budget that the sinks fill.
func (m lagKV) Fit(c Cell) (Cell, error) { return c, roomFor(c, m.sinks, "sinks", m.budget) }

// Decide keeps the highest ranks of each head. Entries that score the same go by position.
func (m lagKV) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget, rows := m.budget.Of(c.SeqLen), v.Rows(0)
	d := keepBest(c, v, budget, func(j int) []float64 { return m.scores(v, j) })
	if stay := rows - m.ranked(rows); budget < rows && rows >= m.sinks+2*m.lag && budget < stay {
		d.Warnings = append(d.Warnings, cache.Warning{
			Code: "clamped",
			Text: fmt.Sprintf("budget of %d entries is below the %d that score highest, sinks and the last part: the first of them are kept", budget, stay),
		})
	}
	return d, nil
}

// size is that of the budget.
func (m lagKV) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(m.budget.Of(c.SeqLen))
	return nil
}

// ranked is how many of a prompt's rows lie in parts that another follows.
func (m lagKV) ranked(rows int) int { return max(0, ((rows-m.sinks)/m.lag-1)*m.lag) }

// scores returns those of a stored head's rows, from 0 to 1. A prompt without two parts goes by position.
func (m lagKV) scores(v *cache.View, j int) []float64 {
	rows := v.Rows(j)
	scores := make([]float64, rows)
	for i := range scores {
		scores[i] = 1
	}
	if rows < m.sinks+2*m.lag {
		for i := m.sinks; i < rows; i++ {
			scores[i] = float64(i-m.sinks) / float64(rows-m.sinks)
		}
		return scores
	}
	for lo := m.sinks; lo < m.sinks+m.ranked(rows); lo += m.lag {
		part := m.spread(v.K[j], v.Dim, lo)
		for i, p := range m.spread(v.V[j], v.VDim, lo) {
			part[i] = (part[i] + p) / 2
		}
		for rank, i := range ascending(part) {
			scores[lo+int(i)] = float64(rank) / float64(m.lag)
		}
	}
	return scores
}

// spread returns, for the rows of x [rows][dim] in the part that starts at row lo, the softmax over the part
// of the standard deviation over channels, each channel scaled by its range in the part that follows. Where
// a channel has no range there it is not a number for the whole part.
func (m lagKV) spread(x []float32, dim, lo int) []float64 {
	least, most := make([]float64, dim), make([]float64, dim)
	for i := lo + m.lag; i < lo+2*m.lag; i++ {
		for d, a := range row(x, dim, i) {
			if a := float64(a); i == lo+m.lag {
				least[d], most[d] = a, a
			} else {
				least[d], most[d] = min(least[d], a), max(most[d], a)
			}
		}
	}
	for d := range most {
		most[d] = 1 / (most[d] - least[d])
	}
	out := make([]float64, m.lag)
	scaled := make([]float64, dim)
	for i := range out {
		x := row(x, dim, lo+i)
		for d, a := range x {
			scaled[d] = (float64(a) - least[d]) * most[d]
		}
		mean := floats.Sum(scaled) / float64(dim)
		floats.AddConst(-mean, scaled)
		out[i] = math.Sqrt(floats.Dot(scaled, scaled) / float64(dim-1)) // the sample's
	}
	softmax(out)
	return out
}

// ascending returns the indices of the scores from the lowest to the highest, what is not a number last.
// Equal scores keep their order.
func ascending(scores []float64) []int32 {
	order := span(0, len(scores))
	slices.SortStableFunc(order, func(a, b int32) int {
		x, y := scores[a], scores[b]
		if math.IsNaN(x) || math.IsNaN(y) {
			return cmp.Compare(y, x) // NaN is the lowest to Compare
		}
		return cmp.Compare(x, y)
	})
	return order
}
