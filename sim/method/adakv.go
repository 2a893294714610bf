package method

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "adakv", Family: Eviction,
		Summary: "as snapkv, with a layer's entries given to the heads whose scores are highest",
		Reduces: "entries",
		Paper:   "Feng et al. 2024, arXiv:2407.11550, section 3, algorithm 1",
		Code:    "Zefan-Cai/KVCache-Factory pyramidkv/pyramidkv_utils.py (AdaKVCluster), after FFY0/AdaKV; NVIDIA/kvpress kvpress/presses/adakv_press.py",
		Params: append(observationParams(),
			Param{Name: "alpha", Kind: Fraction, Default: "0.2", Help: "share of the budget that every head gets in any case"},
			Param{Name: "normalize", Kind: Choice, Default: "on", Choices: []string{"on", "off"}, Help: "weigh a head's scores by the share of them in its best entries before heads are compared; kvpress does not"},
			Param{Name: "variant", Kind: Choice, Default: "kvcache-factory", Choices: []string{"kvcache-factory", "kvpress"}, Help: "whose budgets"},
		),
		New: func(a Args) (Method, error) {
			return adaKV{newObservation(a), a.Real("alpha"), a["normalize"] == "on", a["variant"] == "kvpress"}, nil
		},
	})
}

// adaKV gives the heads of a layer budgets of their own, so that the store is ragged: it must keep where each
// head's entries begin, an int32 a head and one for the end.
//
// Differs: head budgets are rounded after the floor was truncated, as the code does, so that a layer holds a
// few entries fewer than its budget, at a prompt of exactly the budget too. kvpress masks what it drops and
// saves no memory; here its choice is dropped. The official code repeats K and V to the query heads; the
// default here decides per KV head.
type adaKV struct {
	observation
	alpha     float64
	normalize bool
	kvpress   bool
}

var _ Method = adaKV{}

// whole is the least budget of a prompt at which nothing is scored.
func (m adaKV) whole(prompt int) int {
	if m.kvpress {
		return prompt
	}
	return prompt + 1
}

// Fit is an observation's, but for the budget from which nothing is scored.
func (m adaKV) Fit(c Cell) (Cell, error) { return m.fit(c, m.whole(c.Prompt())) }

// Decide keeps the best entries of each head, as many as the head deserves.
func (m adaKV) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget, rows := m.budget.Of(c.SeqLen), v.Rows(0)
	d := m.stored(v)
	d.Warnings = aboveLength(budget, rows, "prompt")
	heads := v.Heads()
	if m.query {
		heads = v.QHeads()
	}
	d.MetaPerStore = 4 * int64(heads+1)
	switch {
	case budget >= m.whole(rows):
	case m.kvpress:
		d.Keep = m.across(m.padded(c, v), budget)
	default:
		d.Keep = m.factory(m.scores(c, v), budget-m.window)
	}
	return d, nil
}

// factory keeps what KVCache-Factory does, given the scores [stored head][rows before the window] and how many
// entries a head keeps of those in the mean.
func (m adaKV) factory(scores [][]float64, base int) [][]int32 {
	floor := int(float64(base) * m.alpha)
	keep := make([][]int32, len(scores))
	for j, n := range m.wins(scores, base) {
		// The published code computes this in float32.
		n := float32(float32(n)*float32(1-m.alpha)) + float32(floor)
		prefix := len(scores[j])
		keep[j] = append(topK(scores[j], int(math.RoundToEven(float64(n)))), span(prefix, prefix+m.window)...)
	}
	return keep
}

// wins counts, for each head, its entries among the best base*heads of all heads.
func (m adaKV) wins(scores [][]float64, base int) []int {
	var all []float64
	for _, head := range scores {
		weight := 1.0
		if m.normalize {
			sorted := slices.Sorted(slices.Values(head))
			weight = floats.Sum(sorted[len(sorted)-base:]) / floats.Sum(sorted)
		}
		for _, x := range head {
			all = append(all, x*weight)
		}
	}
	n := make([]int, len(scores))
	for _, i := range topK(all, base*len(scores)) {
		n[int(i)/len(scores[0])]++
	}
	return n
}

// across keeps what kvpress does, given scores [stored head][rows]: the best alpha*budget of each head, and the
// best of all heads besides, budget a head in the mean.
func (m adaKV) across(scores [][]float64, budget int) [][]int32 {
	rows := len(scores[0])
	var all []float64
	for _, head := range scores {
		safe := slices.Clone(head)
		for _, i := range topK(head, int(float64(budget)*m.alpha)) {
			safe[i] = math.Inf(1)
		}
		all = append(all, safe...)
	}
	keep := make([][]int32, len(scores))
	for _, i := range topK(all, budget*len(scores)) {
		keep[int(i)/rows] = append(keep[int(i)/rows], i%int32(rows))
	}
	return keep
}
