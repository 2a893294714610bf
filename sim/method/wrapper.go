package method

import (
	"fmt"
	"slices"

	"kvgauge/sim/cache"
)

// wrapper is a method that may stand behind one that decides the same thing, as in snapkv+adakv: the two decide
// together, in one place of the pipeline.
type wrapper interface {
	// around returns the method that both make, and false where the one before is not of its kind.
	around(base Method) (Method, bool)
}

// layerBudgeter is a method that scores by an observation and keeps as many entries of each head of a layer.
type layerBudgeter interface {
	observed() observation
	// entries is how many each head keeps, the window included; the prompt's rows or more are all.
	entries(c Cell, v *cache.View) (int, []cache.Warning)
}

var _ layerBudgeter = pyramidKV{}

// allotter is a method that scores by an observation and gives each head a budget.
type allotter interface {
	Fit(c Cell) (Cell, error)
	// allot returns the decision that lays out the store, and what each head is given.
	allot(c Cell, v *cache.View) (cache.Decision, allotment)
}

// allotment is what the heads of a layer are given.
type allotment struct {
	scores  [][]float64 // [stored head][rows] padded
	budgets []int       // [stored head] entries to keep, the window among them; nil keeps all
	safe    int         // of them, those that go to the best scores in any case
}

// evenly gives each head what base gives the layer.
type evenly struct {
	observation // base's
	base        layerBudgeter
}

// allot gives all heads the same.
func (e evenly) allot(c Cell, v *cache.View) (d cache.Decision, a allotment) {
	keep, warnings := e.base.entries(c, v)
	d = e.stored(v)
	d.Warnings = warnings
	if keep >= v.Rows(0) {
		return d, a
	}
	a.scores = e.padded(c, v)
	a.budgets = slices.Repeat([]int{keep}, len(a.scores))
	return d, a
}

// size is base's.
func (e evenly) size(c Cell, layers []int, s *cache.Size) error {
	base, ok := e.base.(sizer)
	if !ok {
		return ErrContent
	}
	return base.size(c, layers, s)
}

// wrap puts a stage's method around the last one, if it is a wrapper of it. What both have parameters for is
// the base's to say.
func (p *Pipeline) wrap(m Method, s stage, args Args) (wrapped bool, err error) {
	w, ok := m.(wrapper)
	if !ok {
		return false, nil
	}
	last := len(p.methods) - 1
	both, ok := w.around(p.methods[last])
	if !ok {
		return false, nil
	}
	for _, common := range append(observationParams(), scopeParam) {
		if s.given.Given(common.Name) {
			return false, fmt.Errorf("%s takes %s from %s: give it there", s.info.Name, common.Name, p.names[last])
		}
		delete(args, common.Name)
	}
	p.methods[last] = both
	p.names[last] += "+" + s.canonical(args)
	return true, nil
}

// wraps says whether a stage is a wrapper of the one before it, from which it takes the budget.
func (p *Pipeline) wraps(stage int) bool { return stage > 0 && p.at[stage] == p.at[stage-1] }
