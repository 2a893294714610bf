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
		Paper:   "Feng et al. 2024, arXiv:2407.11550",
		Code:    "Zefan-Cai/KVCache-Factory pyramidkv/pyramidkv_utils.py (AdaKVCluster), after FFY0/AdaKV; NVIDIA/kvpress kvpress/presses/adakv_press.py",
		Params: append(observationParams(),
			Param{Name: "alpha", Kind: Fraction, Default: "0.2", Help: "share of the budget that every head gets in any case"},
			Param{Name: "normalize", Kind: Choice, Default: "on", Choices: []string{"on", "off"}, Help: "weigh a head's scores by the share of them in its best entries before heads are compared; kvpress does not"},
			Param{Name: "variant", Kind: Choice, Default: "kvcache-factory", Choices: []string{"kvcache-factory", "kvpress"}, Help: "whose budgets"},
		),
		Variants: []string{"layout=query", "normalize=off,pool=avg", "variant=kvpress", "window=5"},
		Combined: []string{"snapkv+adakv", "pyramidkv+adakv", "cla+adakv", "mla:rank=40+adakv"},
		Traits:   always(Uneven),
		New: func(a Args) (Method, error) {
			o := newObservation(a)
			m := adaKV{o, snapKV{o}, a.Real("alpha"), a["normalize"] == "on", a["variant"] == "kvpress"}
			if m.kvpress {
				m.base = pressed{snapKV{o}}
			}
			return m, nil
		},
	})
}

// adaKV is adaptive budgets of heads, Ada-KV (Feng et al. 2024): it gives the heads of a layer budgets of their own,
// so that the store is ragged: it must keep where each head's entries begin, an int32 a head and one for the end.
//
// Differs: head budgets are rounded after the floor was truncated, as the code does, so that a layer holds a
// few entries fewer than its budget, at a prompt of exactly the budget too. kvpress masks what it drops and
// saves no memory; here its choice is dropped. The official code repeats K and V to the query heads; the
// default here decides per KV head.
type adaKV struct {
	observation               // base's
	base        layerBudgeter // whose entries are given to the heads
	alpha       float64       // share of them that is not
	normalize   bool
	kvpress     bool
}

var _ wrapper = adaKV{}

// pressed is snapKV with the budget rounded as kvpress does.
type pressed struct{ snapKV }

// entries is the budget.
func (p pressed) entries(c Cell, v *cache.View) (int, []cache.Warning) {
	budget := max(1, int(p.budget.kvpress(c.SeqLen, 1, 1)))
	return budget, aboveLength(budget, v.Rows(0), "prompt")
}

// size is that of the budget.
func (p pressed) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(max(1, int(p.budget.kvpress(c.SeqLen, 1, 1))))
	return nil
}

// around takes scores and the layer's entries from the method before: snapkv+adakv, pyramidkv+adakv.
func (m adaKV) around(base Method) (Method, bool) {
	b, ok := base.(layerBudgeter)
	if ok {
		m.observation, m.base = b.observed(), b
	}
	return m, ok
}

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
	d, a := m.allot(c, v)
	for j, n := range a.budgets {
		d.Keep = append(d.Keep, topK(a.scores[j], n))
	}
	return d, nil
}

// size is that of the layer's entries, which kvpress gives out to the last, and of where each head's begin.
// KVCache-Factory rounds what each head gets.
func (m adaKV) size(c Cell, layers []int, s *cache.Size) error {
	_, flat := m.base.(snapKV)
	scored := !flat || m.budget.Of(c.SeqLen) < m.whole(c.Prompt())
	base, ok := m.base.(sizer)
	if !ok || scored && !m.kvpress {
		return ErrContent
	}
	s.Uneven = scored
	s.Meta += 4 * int64(len(s.Rows)+1)
	return base.size(c, layers, s)
}

// allot gives the layer's entries to its heads.
func (m adaKV) allot(c Cell, v *cache.View) (d cache.Decision, a allotment) {
	keep, warnings := m.base.entries(c, v)
	d, heads, _ := laidOut(v, m.query)
	d.Warnings = warnings
	d.MetaPerStore = 4 * int64(heads+1)
	if keep >= m.whole(v.Rows(0)) {
		return d, a
	}
	a.scores = m.padded(c, v)
	if m.kvpress {
		a.budgets, a.safe = m.across(a.scores, keep), m.safe(keep)
	} else {
		a.budgets = m.factory(a.scores, keep-m.window)
	}
	return d, a
}

// factory returns the budgets of KVCache-Factory, given how many entries before the window a head keeps in
// the mean: a share of those, and the rest by the entries that a head has among the best of all heads.
func (m adaKV) factory(scores [][]float64, base int) []int {
	prefix := len(scores[0]) - m.window
	var all []float64
	for _, head := range scores {
		weight := 1.0
		if m.normalize {
			sorted := slices.Sorted(slices.Values(head[:prefix]))
			weight = floats.Sum(sorted[prefix-base:]) / floats.Sum(sorted)
		}
		for _, x := range head[:prefix] {
			all = append(all, x*weight)
		}
	}
	budgets := count(topK(all, base*len(scores)), prefix, len(scores))
	floor := int(float64(base) * m.alpha)
	for j, n := range budgets {
		// The published code computes this in float32.
		share := float32(float32(n)*float32(1-m.alpha)) + float32(floor)
		budgets[j] = int(math.RoundToEven(float64(share))) + m.window
	}
	return budgets
}

// across returns kvpress's budgets, keep a head in the mean: the best safe entries of each head, and the best
// of all heads besides.
func (m adaKV) across(scores [][]float64, keep int) []int {
	var all []float64
	for _, head := range scores {
		safe := slices.Clone(head)
		for _, i := range topK(head, m.safe(keep)) {
			safe[i] = math.Inf(1)
		}
		all = append(all, safe...)
	}
	return count(topK(all, keep*len(scores)), len(scores[0]), len(scores))
}

// safe is how many entries kvpress leaves to every head.
func (m adaKV) safe(keep int) int { return int(float64(keep) * m.alpha) }

// count returns how many of the indices into [heads][width] fall on each head.
func count(indices []int32, width, heads int) []int {
	n := make([]int, heads)
	for _, i := range indices {
		n[int(i)/width]++
	}
	return n
}
