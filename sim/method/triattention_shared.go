package method

import (
	"slices"

	"kvgauge/sim/cache"
)

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
	_ Learner  = triAttentionShared{}
	_ Observer = triAttentionShared{}
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

// Observe returns the scores of the prompt's rows over the layers of the group, of one head after the other, or
// over all heads.
func (m triAttentionShared) Observe(c Cell, v *cache.View, learned any) ([]float64, error) {
	if m.whole(c) {
		return nil, nil
	}
	m.stats = learned.([][]queryStats)
	turns := turnsAfter(v.Rope, v.Tokens())
	heads := make([][]float64, v.Heads())
	c.Pool.Run(v.Heads(), func(_, j int) { heads[j] = aggregate(m.ofHead(v, j, turns), m.over()) })
	if m.union {
		return aggregate(heads, "max"), nil
	}
	return slices.Concat(heads...), nil
}

// Apply keeps the best entries by what was observed of all layers.
func (m triAttentionShared) Apply(c Cell, v *cache.View, learned cache.Decision) (cache.Decision, error) {
	if m.whole(c) {
		return m.triAttention.Apply(c, v, learned)
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
