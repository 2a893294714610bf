package method

import (
	"cmp"
	"fmt"
	"math"
	"math/cmplx"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "triattention", Family: Eviction,
		Summary: "entries that queries like those of the model's other texts would attend to from positions to come, chosen anew as the cache grows",
		Reduces: "entries",
		Paper:   "Mao et al. 2026, arXiv:2604.04921, the trigonometric series of section 3",
		Code:    "WeianMao/triattention",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries kept per KV head"},
			{Name: "agg", Kind: Choice, Default: "mean", Choices: []string{"mean", "max"}, Help: "scores at the positions to come to one"},
			{Name: "mode", Kind: Choice, Default: "per_layer_head", Choices: []string{"per_layer_head", "per_head", "union"}, Help: "one kept set for each KV head of each layer, one for each KV head in all layers, or one for the model"},
			{Name: "interval", Default: "128", Max: 1 << 20, Help: "decides again each time so many tokens of the sequence are through; 0, which sets of all layers need: once, at the end of the prompt"},
		},
		Variants: []string{"agg=max,interval=8", "interval=0", "interval=0,mode=union", "interval=0,mode=per_head"},
		Combined: []string{"cla+triattention:interval=0,mode=per_head", "cla+triattention:interval=8"},
		Traits:   always(DropsNewest),
		New:      newTriAttention,
	})
}

// triAttention is eviction by a trigonometric series (Mao et al. 2026). It scores a key by the mean query of each
// head before the rotary embedding, which a text of the model tells once for all: pair by pair what that query would
// make of the key from 1, 2, 4, ... 65,536 positions after the prompt, and the key's length times how far single
// queries exceed their mean. It needs no recent queries. Scores are standardised over the keys of a query head; a KV
// head takes the maximum of its group. At the end of the prompt and after every interval-th token the best entries
// stay; no recent ones are spared.
//
// Differs: the official code leaves the prompt alone, and keeps one set for the model by default (mode=union). Here
// the prompt is cut at its end, and each KV head of each layer keeps a set of its own, which needs no more than
// that layer. Sets of several layers are chosen at the end of the prompt only: layers are replayed one after the
// other, and none knows what the others hold at a step. Channels without rotation, which the code does not know,
// count as what the mean query makes of them.
type triAttention struct {
	budget   Entries
	max      bool
	interval int
	stats    [][]queryStats // [layer of the group][query head], once they are learned
}

var _ learner = triAttention{}

// offsets are how far after the prompt keys are scored.
const offsets = 17 // 1, 2, 4, ... 65,536

func newTriAttention(a Args) (Method, error) {
	m := triAttention{budget: a.Budget("budget"), max: a["agg"] == "max", interval: a.Int("interval")}
	mode := a["mode"]
	switch {
	case mode == "per_layer_head":
		return m, nil
	case m.interval > 0:
		return nil, fmt.Errorf("mode=%s: all layers together decide at the end of the prompt only, want interval=0", mode)
	}
	return triAttentionShared{m, mode == "union"}, nil
}

// most is the largest number of tokens that it decides on.
func (m triAttention) most(c Cell) (tokens int, what string) {
	if m.interval > 0 {
		return c.SeqLen, "sequence"
	}
	return c.Prompt(), "prompt"
}

// whole says that everything fits in the budget, so that nothing is decided and no statistics are needed.
func (m triAttention) whole(c Cell) bool {
	tokens, _ := m.most(c)
	return m.budget.Of(c.SeqLen) >= tokens
}

// Fit refuses keys that are not those of single heads under a rotary embedding, and a trace without queries.
func (m triAttention) Fit(c Cell) (Cell, error) {
	c.Moving = c.Moving || m.interval > 0
	if m.whole(c) {
		return c, nil
	}
	return c, cmp.Or(ownRotation(c), someQueries(c, "queries of the prompt"))
}

// fits says that statistics are learned.
func (triAttention) fits() bool { return true }

// Decide keeps the best entries of every KV head by the statistics, which Apply puts in place.
func (m triAttention) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	keep := make([][]int32, v.Heads())
	rotations := rotationsAfter(v.Rope, v.Tokens())
	c.Pool.Run(v.Heads(), func(_, j int) {
		scores := aggregate(m.ofHead(v, j, rotations), "sum") // over layers that share, the sum ranks as the mean
		keep[j] = topK(scores, m.budget.Of(c.SeqLen))
	})
	return cache.Decision{Keep: keep}, nil
}

// size is that of the budget.
func (m triAttention) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(m.budget.Of(c.SeqLen))
	return nil
}

// queryStats are those of one query head before the rotary embedding.
type queryStats struct {
	mean   []complex128 // [pair]
	length []float64    // [pair] mean of the pair's length
	still  []float64    // [channel without rotation] mean
}

// fitMap learns the statistics: 12 bytes a pair and query head, 4 a channel without rotation.
func (m triAttention) fitMap(_ Cell, on *cache.View) (cache.Decision, error) {
	var stats [][]queryStats // [layer of the group][query head]
	pairs := len(on.Rope.InvFreq)
	for _, layer := range on.Q {
		var heads []queryStats
		for _, q := range layer {
			heads = append(heads, statsOf(on, q))
		}
		stats = append(stats, heads)
	}
	bytes := len(on.Q) * on.QHeads() * (12*pairs + 4*(on.Dim-2*pairs))
	return cache.Decision{Learned: stats, Weights: int64(bytes)}, nil
}

// statsOf measures one head's queries.
func statsOf(on *cache.View, q []float32) queryStats {
	pairs := len(on.Rope.InvFreq)
	s := queryStats{make([]complex128, pairs), make([]float64, pairs), make([]float64, on.Dim-2*pairs)}
	n := on.Queries()
	row := make([]float32, on.Dim)
	for i := range n {
		copy(row, q[i*on.Dim:])
		on.Rope.Rotate(row, -float64(on.FirstQuery+i))
		for p := range pairs {
			z := pairOf(on.Rope, row, p)
			s.mean[p] += z / complex(float64(n), 0)
			s.length[p] += cmplx.Abs(z) / float64(n)
		}
		for c := range s.still {
			s.still[c] += float64(row[2*pairs+c]) / float64(n)
		}
	}
	return s
}

// apply decides on the prompt, and again while decoding.
func (m triAttention) apply(c Cell, v *cache.View, learned cache.Decision) (cache.Decision, error) {
	if m.whole(c) {
		tokens, what := m.most(c)
		return cache.Decision{Warnings: aboveLength(m.budget.Of(c.SeqLen), tokens, what)}, nil
	}
	m.stats = learned.Learned.([][]queryStats)
	d, err := m.Decide(c, v)
	if err != nil {
		return d, err
	}
	keep := d.Keep
	d = learned
	d.Learned, d.Keep = nil, keep
	if m.interval > 0 {
		d.Policy = redecider{m, c, m.interval}
		d.Warnings = append(d.Warnings, decidedAgain(c, m.interval)...)
	}
	return d, nil
}

// ofHead returns the standardised scores of a stored head's rows, the maximum over the query heads that read it:
// [layer of the group][row].
func (m triAttention) ofHead(v *cache.View, j int, rotations [][]complex128) [][]float64 {
	var layers [][]float64
	for _, heads := range m.stats {
		var group [][]float64
		for h := j * v.Group(); h < (j+1)*v.Group(); h++ {
			group = append(group, standardised(m.scores(v, j, heads[h], rotations)))
		}
		layers = append(layers, aggregate(group, "max"))
	}
	return layers
}

// rotationsAfter are the rotations of the positions that keys are scored at, [offset][pair].
func rotationsAfter(r kernel.Rope, tokens int) [][]complex128 {
	var rotations [][]complex128
	for n := range offsets {
		var at []complex128
		for _, w := range r.InvFreq {
			at = append(at, cmplx.Rect(1, float64(tokens+1<<n)*w))
		}
		rotations = append(rotations, at)
	}
	return rotations
}

// scores are those of a stored head's keys for one query head. Keys are taken as they are cached: the rotation
// of their own position is in them.
func (m triAttention) scores(v *cache.View, j int, s queryStats, rotations [][]complex128) []float64 {
	pairs := len(s.mean)
	queries := make([][]complex128, 0, len(rotations)) // the mean query at each position
	for _, at := range rotations {
		q := make([]complex128, pairs)
		for p := range q {
			q[p] = s.mean[p] * at[p]
		}
		queries = append(queries, q)
	}
	out := make([]float64, v.Rows(j))
	key := make([]complex128, pairs)
	for i := range out {
		row := v.K[j][i*v.Dim : (i+1)*v.Dim]
		var beside float64 // what does not depend on the position
		for p := range key {
			key[p] = cmplx.Conj(pairOf(v.Rope, row, p))
			beside += (s.length[p] - cmplx.Abs(s.mean[p])) * cmplx.Abs(key[p])
		}
		for c, q := range s.still {
			beside += q * float64(row[2*pairs+c])
		}
		var sum float64
		largest := math.Inf(-1)
		for _, q := range queries {
			var logit float64
			for p, z := range key {
				logit += real(q[p])*real(z) - imag(q[p])*imag(z)
			}
			sum += logit
			largest = max(largest, logit)
		}
		out[i] = sum/float64(len(queries)) + beside
		if m.max {
			out[i] = largest + beside
		}
	}
	return out
}

// standardised subtracts the mean and divides by the standard deviation of the population, at least 1e-6.
func standardised(x []float64) []float64 {
	var mean, square float64
	for _, a := range x {
		mean += a / float64(len(x))
	}
	for _, a := range x {
		square += (a - mean) * (a - mean) / float64(len(x))
	}
	std := max(math.Sqrt(square), 1e-6)
	for i := range x {
		x[i] = (x[i] - mean) / std
	}
	return x
}

// triAttentionShared keeps the same entries in all layers: one set for each KV head, by the mean over layers, or
// one for the model, by the maximum over all heads and layers.
//
// The official code has every query head of every layer nominate its best for the model's set, and takes the best
// nominees. That is the best of all: n nominees of the head that ranks an entry highest rank no lower.
type triAttentionShared struct {
	triAttention
	union bool
}

var (
	_ learner  = triAttentionShared{}
	_ observer = triAttentionShared{}
)

// Fit refuses a part of a model.
func (m triAttentionShared) Fit(c Cell) (Cell, error) {
	if err := wholeModel(c, "keeps the same entries in all layers"); err != nil {
		return c, err
	}
	return m.triAttention.Fit(c)
}

// over is how scores of layers become one; where they are added up, the sum ranks as the mean.
func (m triAttentionShared) over() string {
	if m.union {
		return "max"
	}
	return "sum"
}

// observe returns the scores of the prompt's rows over the layers of the group, of one head after the other, or
// over all heads.
func (m triAttentionShared) observe(c Cell, v *cache.View, learned any) ([]float64, error) {
	if m.whole(c) {
		return nil, nil
	}
	m.stats = learned.([][]queryStats)
	rotations := rotationsAfter(v.Rope, v.Tokens())
	heads := make([][]float64, v.Heads())
	c.Pool.Run(v.Heads(), func(_, j int) { heads[j] = aggregate(m.ofHead(v, j, rotations), m.over()) })
	if m.union {
		return aggregate(heads, "max"), nil
	}
	return slices.Concat(heads...), nil
}

// apply keeps the best entries by what was observed of all layers.
func (m triAttentionShared) apply(c Cell, v *cache.View, learned cache.Decision) (cache.Decision, error) {
	if m.whole(c) {
		return m.triAttention.apply(c, v, learned)
	}
	var layers [][]float64
	for _, l := range c.Layers {
		if scores, ok := c.Observed[l]; ok {
			layers = append(layers, scores)
		}
	}
	scores := aggregate(layers, m.over())
	d, budget := learned, m.budget.Of(c.SeqLen)
	d.Learned = nil
	for j := range v.Heads() {
		of := scores
		if !m.union {
			of = scores[j*v.Rows(j) : (j+1)*v.Rows(j)]
		}
		d.Keep = append(d.Keep, topK(of, budget))
	}
	return d, nil
}
