package method

import (
	"fmt"
	"strings"

	"kvgauge/sim/cache"
)

// Pipeline is one or more methods, applied in order. It holds nothing of the cells it has run in.
type Pipeline struct {
	Name    string // canonical
	Family  string // the methods' families joined by +
	Partial bool   // its cache lacks, or its steps do not read, entries that the full cache has
	methods []Method
}

// build makes a pipeline of parsed stages; budget goes to those that name none.
func build(stages []stage, budget Entries) (*Pipeline, error) {
	p := &Pipeline{}
	var names, families []string
	for i, s := range stages {
		if i > 0 {
			if err := follows(stages[i-1].info, s.info); err != nil {
				return nil, err
			}
		}
		args := s.args(budget)
		m, err := s.info.New(args)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.info.Name, err)
		}
		p.methods = append(p.methods, m)
		p.Partial = p.Partial || s.info.Family.partial()
		names = append(names, s.canonical(args))
		families = append(families, string(s.info.Family))
	}
	p.Name, p.Family = strings.Join(names, "+"), strings.Join(families, "+")
	return p, nil
}

// follows says why a method may not come after another.
func follows(a, b Info) error {
	switch {
	case a.Family == Baseline || b.Family == Baseline:
		return fmt.Errorf("%s and %s do not combine: a baseline reduces nothing and stands alone", a.Name, b.Name)
	case a.Family.stage() == b.Family.stage():
		return fmt.Errorf("%s and %s do not combine: both decide the same thing (%s)", a.Name, b.Name, b.Reduces)
	case a.Family.stage() > b.Family.stage():
		return fmt.Errorf("%s (%s) cannot come after %s (%s): write %s+%s", b.Name, b.Family, a.Name, a.Family, b.Name, a.Name)
	}
	return nil
}

// Fit says whether the pipeline applies to a cell: nil, or the reason why not. The cell's Heads are the
// trace's KV heads.
func (p *Pipeline) Fit(c Cell) error {
	var err error
	for _, m := range p.methods {
		if c, err = m.Fit(c); err != nil {
			return err
		}
	}
	return nil
}

// Decide runs the stages on the rows of one group of layers. It returns their decisions and the prompt as
// they leave it. The future goes to the bounds alone.
func (p *Pipeline) Decide(c Cell, prompt, future *cache.View) ([]cache.Decision, *cache.View, error) {
	var decisions []cache.Decision
	for _, m := range p.methods {
		var d cache.Decision
		var err error
		if s, ok := m.(Seer); ok {
			d, err = s.Foresee(c, prompt, future)
		} else {
			d, err = m.Decide(c, prompt)
		}
		if err != nil {
			return nil, nil, err
		}
		decisions = append(decisions, d)
		prompt = prompt.Apply(d)
		future = future.Apply(cache.Decision{Map: d.Map})
		c.Heads = prompt.Heads()
	}
	return decisions, prompt, nil
}
