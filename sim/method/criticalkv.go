package method

import (
	"math"
	"slices"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "criticalkv", Family: Eviction,
		Summary:  "half the entries by snapkv's scores, half by these times the size of the value",
		Reduces:  "entries",
		Paper:    "Feng et al. 2025, arXiv:2502.03805",
		Code:     "NVIDIA/kvpress kvpress/presses/criticalkv_press.py (CriticalKVPress, CriticalAdaKVPress)",
		Params:   observationParams(),
		Variants: []string{"window=5"},
		Combined: []string{"adakv+criticalkv", "adakv:variant=kvpress,window=5+criticalkv", "mqa+criticalkv"},
		New: func(a Args) (Method, error) {
			o := newObservation(a)
			return criticalKV{evenly{o, snapKV{o}}}, nil
		},
	})
}

// criticalKV is selection by the perturbation of the output (Feng et al. 2025): it keeps, in a first stage, the best
// half of the budget by score; then it fills up by the score times what a value can change in the layer's output.
//
// Differs: that is the L1 norm of the value after the output projection, the mean over a group's query heads.
// A trace holds no projection, so that the value's own norm stands for it, which a warning says.
type criticalKV struct{ allotter }

var _ wrapper = criticalKV{}

// around takes scores and budgets from the method before: adakv+criticalkv, pyramidkv+criticalkv.
func (m criticalKV) around(base Method) (Method, bool) {
	switch b := base.(type) {
	case adaKV:
		return criticalKV{b}, true
	case layerBudgeter:
		return criticalKV{evenly{b.observed(), b}}, true
	}
	return nil, false
}

// small is added to scores before they are multiplied, so that a value counts where attention is nil.
const small = 1e-4

// Decide keeps the best of each head in two stages.
func (m criticalKV) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	d, a := m.allot(c, v)
	if a.budgets == nil {
		return d, nil
	}
	d.Warnings = append(slices.Clone(d.Warnings), cache.Warning{
		Code: "approximate",
		Text: "the trace holds no output projection: the L1 norm of the values stands for that of their projection",
	})
	perHead := len(a.scores) / v.Heads() // 1, or a group's query heads with layout=query
	for j, n := range a.budgets {
		d.Keep = append(d.Keep, critical(a.scores[j], v.V[j/perHead], v.VDim, n, max(a.safe, n/2)))
	}
	return d, nil
}

// size is that of what gives the budgets.
func (m criticalKV) size(c Cell, layers []int, s *cache.Size) error {
	a, ok := m.allotter.(sizer)
	if !ok {
		return ErrContent
	}
	return a.size(c, layers, s)
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
