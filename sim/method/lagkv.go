package method

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
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
	least, most := slices.Clone(row(x, dim, lo+m.lag)), slices.Clone(row(x, dim, lo+m.lag))
	for i := lo + m.lag + 1; i < lo+2*m.lag; i++ {
		x := row(x, dim, i)
		kernel.Max(x, most)
		kernel.Min(x, least)
	}
	from, scale := make([]float64, dim), make([]float64, dim)
	for d := range from {
		from[d] = float64(least[d])
		scale[d] = 1 / (float64(most[d]) - from[d])
	}
	out := make([]float64, m.lag)
	for i := range out {
		out[i] = deviation(row(x, dim, lo+i), from, scale)
	}
	softmax(out)
	return out
}

// deviation is the standard deviation, the sample's, of what x is when it is scaled. Two sums run beside each other.
func deviation(x []float32, from, scale []float64) float64 {
	from, scale = from[:len(x)], scale[:len(x)]
	var sum0, sum1, square0, square1 float64
	i := 0
	for ; i+2 <= len(x); i += 2 {
		a, b := (float64(x[i])-from[i])*scale[i], (float64(x[i+1])-from[i+1])*scale[i+1]
		sum0, sum1 = sum0+a, sum1+b
		square0, square1 = square0+a*a, square1+b*b
	}
	if i < len(x) {
		a := (float64(x[i]) - from[i]) * scale[i]
		sum0, square0 = sum0+a, square0+a*a
	}
	sum, n := sum0+sum1, float64(len(x))
	return math.Sqrt(max(0, square0+square1-sum*sum/n) / (n - 1))
}

// ascending returns the indices of the scores from the lowest to the highest, what is not a number last.
// Equal scores keep their order.
func ascending(scores []float64) []int32 {
	order := span(0, len(scores))
	slices.SortFunc(order, func(a, b int32) int {
		x, y := scores[a], scores[b]
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		case x == y:
			return cmp.Compare(a, b)
		}
		return cmp.Or(cmp.Compare(y, x), cmp.Compare(a, b)) // NaN is the lowest to Compare
	})
	return order
}
