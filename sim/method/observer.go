package method

import "kvgauge/sim/cache"

// observer is a method that must have seen all layers before it decides on any of them.
type observer interface {
	// observe returns what the method has to know of one group of layers when it decides on the others.
	// Decide finds it in the cell. A learner is given what it learned of these layers.
	observe(c Cell, v *cache.View, learned any) ([]float64, error)
}

// Observes says whether a stage of the pipeline is an observer: Observe is then called for each group of
// layers before Decide is for any.
func (p *Pipeline) Observes() bool { return p.observer() >= 0 }

// observer returns the stage that is an observer, or -1. Methods that decide the same thing do not combine,
// so that there is no other.
func (p *Pipeline) observer() int {
	for i, m := range p.methods {
		if _, ok := m.(observer); ok {
			return i
		}
	}
	return -1
}

// ObservesIn says whether the observer looks at the layers that a cell is about: it does not at those that it leaves alone.
func (p *Pipeline) ObservesIn(c Cell) bool { return !p.leaves(p.observer(), c) }

// Observe shows the pipeline's observer the rows of one group of layers as the stages before it leave them.
func (p *Pipeline) Observe(c Cell, prompt *cache.View, prepared []*cache.Decision) ([]float64, error) {
	at := p.observer()
	for _, i := range p.steps(c) {
		if i == at {
			break
		}
		d, err := p.decide(i, c, prompt, nil, prepared)
		if err != nil {
			return nil, err
		}
		prompt = prompt.Apply(d)
		c = c.after(d)
	}
	var learned any
	if l, ok := p.methods[at].(learner); ok {
		d, err := fitted(l, c, prompt, prepared[at])
		if err != nil {
			return nil, err
		}
		learned = d.Learned
	}
	return p.methods[at].(observer).observe(p.shown(at, c), prompt, learned)
}
