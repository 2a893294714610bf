package method

import (
	"math"
	"slices"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "criticalkv", Family: Eviction,
		Summary: "half the entries by snapkv's scores, half by these times the size of the value",
		Reduces: "entries",
		Paper:   "Feng et al. 2025, arXiv:2502.03805",
		Code:    "NVIDIA/kvpress kvpress/presses/criticalkv_press.py (CriticalKVPress, CriticalAdaKVPress)",
		Params:  observationParams(),
		New: func(a Args) (Method, error) {
			o := newObservation(a)
			return criticalKV{o, snapKV{o}, nil}, nil
		},
	})
}

// criticalKV keeps, in a first stage, the best half of the budget by score; then it fills up by the score
// times what a value can change in the layer's output.
//
// Differs: that is the L1 norm of the value after the output projection, the mean over a group's query heads.
// A trace holds no projection, so that the value's own norm stands for it, which a warning says.
type criticalKV struct {
	observation        // base's
	base        sharer // whose scores and entries it takes
	ada         *adaKV // or this one's budgets for each head
}

var (
	_ Method  = criticalKV{}
	_ Wrapper = criticalKV{}
)

// Around takes scores and budgets from the method before: adakv+criticalkv, pyramidkv+criticalkv.
func (m criticalKV) Around(base Method) (Method, bool) {
	if b, ok := base.(adaKV); ok {
		return criticalKV{b.observation, b.base, &b}, true
	}
	b, ok := base.(sharer)
	if ok {
		m.observation, m.base = b.observed(), b
	}
	return m, ok
}

// Fit is that of the method whose budgets it takes.
func (m criticalKV) Fit(c Cell) (Cell, error) {
	if m.ada != nil {
		return m.ada.Fit(c)
	}
	return m.observation.Fit(c)
}

// small is added to scores before they are multiplied, so that a value counts where attention is nil.
const small = 1e-4

// Decide keeps the best of each head in two stages.
func (m criticalKV) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	d, scores, budgets, safe := m.allot(c, v)
	if budgets == nil {
		return d, nil
	}
	d.Warnings = append(slices.Clone(d.Warnings), cache.Warning{
		Code: "approximate",
		Text: "the trace holds no output projection: the L1 norm of the values stands for that of their projection",
	})
	perHead := len(scores) / v.Heads() // 1, or a group's query heads with layout=query
	for j, head := range scores {
		d.Keep = append(d.Keep, critical(head, v.V[j/perHead], v.VDim, budgets[j], max(safe, budgets[j]/2)))
	}
	return d, nil
}

// allot returns the scores [stored head][rows], the entries that each head keeps, nil for all, and how many of
// them go by score alone in any case.
func (m criticalKV) allot(c Cell, v *cache.View) (d cache.Decision, scores [][]float64, budgets []int, safe int) {
	keep, warnings := m.base.entries(c, v)
	if m.ada != nil {
		d, scores, budgets = m.ada.allot(c, v)
		if m.ada.kvpress {
			safe = m.ada.safe(keep)
		}
		return d, scores, budgets, safe
	}
	d = m.stored(v)
	d.Warnings = warnings
	if keep >= v.Rows(0) {
		return d, nil, nil, 0
	}
	scores = m.padded(c, v)
	return d, scores, slices.Repeat([]int{keep}, len(scores)), 0
}

// critical returns the budget rows of a head that go first: the best by score, first of them, and then those by
// score times the L1 norm of the value, v [rows][dim].
func critical(scores []float64, v []float32, dim, budget, first int) []int32 {
	weighted := make([]float64, len(scores))
	for i, s := range scores {
		var norm float64
		for _, x := range row(v, dim, i) {
			norm += math.Abs(float64(x))
		}
		weighted[i] = (s + small) * norm
	}
	for _, i := range topK(scores, first) {
		weighted[i] = math.Inf(1)
	}
	return topK(weighted, budget)
}
