package method

import (
	"errors"
	"math"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "rkv", Family: Eviction,
		Summary: "entries that the last queries attend to and that resemble few others, chosen anew as the cache grows",
		Reduces: "entries",
		Paper:   "Cai et al. 2025, arXiv:2505.24133, section 3",
		Code:    "Zefan-Cai/R-KV rkv/compression/r1_kv.py (R1KV), rkv/utils.py (compute_attention_scores, cal_similarity)",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries kept per KV head, window included"},
			{Name: "window", Default: "8", Min: 1, Max: 1 << 20, Help: "last queries that score, and keys always kept"},
			{Name: "kernel", Default: "7", Min: 1, Max: 1<<20 - 1, Odd: true, Help: "width of the maximum pooling over entries"},
			{Name: "lambda", Kind: Real, Default: "0.07", Help: "weight of importance, at most 1; redundancy has the rest"},
			{Name: "interval", Default: "128", Min: 1, Max: 1 << 20, Help: "decides again each time so many tokens of the sequence are through"},
		},
		Variants: []string{"interval=16", "interval=8"},
		Combined: []string{"cla+rkv:interval=8"},
		New:      newRKV,
	})
}

// rkv is redundancy-aware eviction (Cai et al. 2025): it ranks the entries before the window by lambda times
// importance less 1-lambda times redundancy, at the end of the prompt and then again after every interval-th token;
// the step that ends an interval still attends over all that is stored.
//
// Importance: the logits of the last queries, the largest over the query heads of the group, then a softmax
// over the entries before the window alone, the mean over the queries and maximum pooling. Redundancy: the
// cosine of each key with every other, without the last one in a row that is above a half, averaged by column
// and taken through a softmax over all entries. A server keeps the last queries of every query head.
//
// Differs from the paper, as the code does: it speaks of sparing the newest few of similar keys, the code
// spares one; and lambda is 0.07 where the repository's text has 0.1.
type rkv struct {
	budget         Entries
	window, kernel int
	lambda         float64
	interval       int
}

var _ repeater = rkv{}

// similar is the cosine above which two keys count as the same.
const similar = 0.5

func newRKV(a Args) (Method, error) {
	m := rkv{a.Budget("budget"), a.Int("window"), a.Int("kernel"), a.Real("lambda"), a.Int("interval")}
	if m.lambda > 1 {
		return nil, errors.New("lambda=" + a["lambda"] + ": want at most 1")
	}
	return m, nil
}

// every is the interval.
func (m rkv) every() (tokens, queries int) { return m.interval, m.window }

// Fit refuses a budget that leaves nothing to choose, and a trace without the window's queries.
func (m rkv) Fit(c Cell) (Cell, error) {
	return observation{budget: m.budget, window: m.window}.fit(c, c.SeqLen+1)
}

// Decide keeps the best budget - window entries and the window.
func (m rkv) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget := m.budget.Of(c.SeqLen)
	d := cache.Decision{Warnings: aboveLength(budget, c.SeqLen, "sequence")}
	if budget <= c.SeqLen {
		d.Warnings = append(d.Warnings, decidedAgain(c, m.interval)...)
	}
	d.Keep = make([][]int32, v.Heads())
	c.Pool.Run(v.Heads(), func(_, j int) {
		rows := v.Rows(j)
		if rows < budget {
			d.Keep[j] = span(0, rows)
			return
		}
		scores := m.importance(v, j)
		redundant := redundancy(v.K[j], v.Dim)
		for i := range scores {
			scores[i] = m.lambda*scores[i] - (1-m.lambda)*redundant[i]
		}
		d.Keep[j] = append(topK(scores, budget-m.window), span(rows-m.window, rows)...)
	})
	return d, nil
}

// size is that of the budget.
func (m rkv) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(m.budget.Of(c.SeqLen))
	return nil
}

// importance scores the rows of a head before the window, as the mean over the layers that share.
func (m rkv) importance(v *cache.View, j int) []float64 {
	rows, group := v.Rows(j), v.Group()
	before := rows - m.window
	mean := make([]float64, before)
	for l, layer := range v.Q {
		top := make([]float64, m.window*rows)
		for i := range top {
			top[i] = math.Inf(-1)
		}
		for h := j * group; h < (j+1)*group; h++ {
			q := layer[h][(v.Queries()-m.window)*v.Dim:]
			rule := v.Rules[l][h]
			logits := kernel.DotsExact(q, v.Dim, rule.Scale, v.K[j])
			for s := range m.window {
				rule.Logits(logits[s*rows:(s+1)*rows], v.Pos[j], v.Tokens()-m.window+s)
			}
			for i, x := range logits {
				top[i] = max(top[i], x)
			}
		}
		for s := range m.window {
			row := top[s*rows : s*rows+before]
			lse := logSum(row)
			if math.IsInf(lse, -1) {
				continue // its head reads none of these rows
			}
			for i, x := range row {
				mean[i] += math.Exp(x-lse) / float64(m.window*len(v.Q))
			}
		}
	}
	return pooled(mean, "max", m.kernel)
}

// logSum is the log of the sum of exponentials.
func logSum(xs []float64) float64 {
	most := math.Inf(-1)
	for _, x := range xs {
		most = max(most, x)
	}
	if math.IsInf(most, -1) {
		return most
	}
	var sum float64
	for _, x := range xs {
		sum += math.Exp(x - most)
	}
	return most + math.Log(sum)
}

// redundancy returns, for each of the keys k [rows][dim], how much the others resemble it: a softmax over all
// rows of the column means of the cosine matrix, which is gone through some rows at a time.
func redundancy(k []float32, dim int) []float64 {
	n := len(k) / dim
	units := kernel.NewRows(kernel.F32, dim, n)
	flat := make([]float32, n*dim)
	for i := range n {
		key, unit := row(k, dim, i), row(flat, dim, i)
		norm := float32(math.Sqrt(square(key))) + 1e-8
		for d, x := range key {
			unit[d] = x / norm
		}
		units.Append(unit)
	}
	const batch = 32
	scratch := kernel.NewScratch(batch, dim)
	cosines := make([]float32, batch*n)
	mean := make([]float64, n)
	for lo := 0; lo < n; lo += batch {
		hi := min(lo+batch, n)
		kernel.Scores(flat[lo*dim:hi*dim], &units, 0, n, scratch, cosines, n)
		for i := lo; i < hi; i++ {
			row := cosines[(i-lo)*n : (i-lo+1)*n]
			row[i] = 0
			spared := 0
			for j, x := range row {
				if x > similar {
					spared = j
				}
			}
			row[spared] = 0
			for j, x := range row {
				mean[j] += float64(x) / float64(n)
			}
		}
	}
	lse := logSum(mean)
	for j, x := range mean {
		mean[j] = math.Exp(x - lse)
	}
	return mean
}
