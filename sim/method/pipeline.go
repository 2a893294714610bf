package method

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"kvgauge/sim/cache"
)

// Pipeline is one or more methods, applied in order. It holds nothing of the cells it has run in.
type Pipeline struct {
	Name    string  // canonical
	Family  string  // the methods' families joined by +
	Partial bool    // its cache lacks, or its steps do not read, entries that the full cache has
	Share   float64 // of full's bytes, which its budget is set to take once its stores can be built; 0: the budget is as it is
	stages  []stage
	at      []int   // [stage] its method, of a wrapper the one before it
	budget  Entries // of the stages that name none
	methods []Method
	names   []string // [stage] canonical
	partial []bool   // [stage]
	scope   []string // [stage] full or all, of those that may leave layers alone
	place   []int    // [stage] of its family in a pipeline
}

// build makes a pipeline of parsed stages; budget goes to those that name none.
func build(stages []stage, budget Entries) (*Pipeline, error) {
	p := &Pipeline{stages: stages, budget: budget}
	var families []string
	var groups grouper
	shares := 0 // the stage of groups
	for i, s := range stages {
		args := s.args(budget)
		m, err := s.info.New(args)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.info.Name, err)
		}
		if g, ok := m.(grouper); ok {
			if groups != nil {
				return nil, fmt.Errorf("%s and %s do not combine: both make layers share a cache", stages[shares].info.Name, s.info.Name)
			}
			groups, shares = g, i
		}
		families = append(families, string(s.info.Family))
		if i > 0 {
			if wrapped, err := p.wrap(m, s, args); err != nil {
				return nil, err
			} else if wrapped {
				p.at = append(p.at, len(p.methods)-1)
				continue
			}
			if err := follows(stages[i-1].info, s.info); err != nil {
				return nil, err
			}
		}
		p.at = append(p.at, len(p.methods))
		p.methods = append(p.methods, m)
		p.partial = append(p.partial, s.info.acts().partial())
		p.scope, p.place = append(p.scope, args[scopeParam.Name]), append(p.place, s.info.acts().stage())
		p.Partial = p.Partial || s.info.acts().partial()
		p.names = append(p.names, s.canonical(args))
	}
	p.Name, p.Family = strings.Join(p.names, "+"), strings.Join(families, "+")
	return p, nil
}

// Groups splits layers into those that share a store.
func (p *Pipeline) Groups(layers []int, numLayers int) [][]int {
	for _, m := range p.methods {
		if g, ok := m.(grouper); ok {
			if groups, err := g.groups(layers, numLayers); err == nil {
				return groups
			}
		}
	}
	groups := make([][]int, len(layers))
	for i := range layers {
		groups[i] = layers[i : i+1]
	}
	return groups
}

// Merges says whether layers would share a store, or why it cannot be said.
func (p *Pipeline) Merges(layers []int, numLayers int) (bool, error) {
	for _, m := range p.methods {
		g, ok := m.(grouper)
		if !ok {
			continue
		}
		groups, err := g.groups(layers, numLayers)
		return slices.ContainsFunc(groups, func(g []int) bool { return len(g) > 1 }), err
	}
	return false, nil
}

// Fit says whether the pipeline applies to a cell: nil, or the reason why not. The cell's Heads are the
// trace's KV heads.
func (p *Pipeline) Fit(c Cell) error {
	var err error
	for _, i := range p.steps(c) {
		if i > 0 && p.partial[i] {
			if err = storedKeys(c, p.names[i], p.names[i-1]); err != nil {
				return err
			}
		}
		if c, err = p.fit(i, c); err != nil {
			return err
		}
	}
	return nil
}

// FirstQuery is the first token whose query the pipeline looks at in a cell that it applies to: all queries that the
// trace holds where maps are fitted on the prompt, none of the prompt's where no stage asks for any.
func (p *Pipeline) FirstQuery(c Cell, calibrated bool) int {
	if p.Fits() && !calibrated {
		return c.FirstQuery
	}
	first := c.Prompt()
	c.asked = &first
	if p.Fit(c) != nil {
		return c.FirstQuery
	}
	return max(first, c.FirstQuery)
}

// Channels is the most that a token's rows have after any stage, keys and values of all heads of a layer
// together: what the pipeline's memory grows with. The cell must be one that the pipeline applies to.
func (p *Pipeline) Channels(c Cell) int {
	most := c.Heads * (c.Dim + c.VDim)
	for _, i := range p.steps(c) {
		after, err := p.fit(i, c)
		if err != nil {
			return most
		}
		c = after
		most = max(most, c.Heads*(c.Dim+c.VDim))
	}
	return most
}

// Fits says whether any stage fits maps.
func (p *Pipeline) Fits() bool { return slices.ContainsFunc(p.methods, fitsMaps) }

// fitsMaps says whether a method fits something, as its parameters are.
func fitsMaps(m Method) bool {
	f, ok := m.(fitter)
	return ok && f.fits()
}

// MapNumbers bounds how many numbers the maps take that the stages fit for one group of layers: matrices to the rows
// that are stored, and back.
func (p *Pipeline) MapNumbers(c Cell) int {
	n := 0
	for _, i := range p.steps(c) {
		after, err := p.fit(i, c)
		if err != nil {
			return n
		}
		if i == ring {
			c = after
			continue
		}
		m := p.methods[i]
		if _, learns := m.(learner); fitsMaps(m) && !learns {
			width := after.Dim
			if !after.Latent {
				width += after.VDim
			}
			n += 2 * c.Heads * (c.Dim + c.VDim) * width
		}
		c = after
	}
	return n
}

// Calibration is another text of the same model. The maps fitted on it are weights of the model: each is
// fitted once, whatever the cells.
type Calibration struct {
	// View reads the rows of a group of layers.
	View func(layers []int) (*cache.View, error)

	lock   sync.Mutex // groups of layers may be prepared side by side
	fitted map[string]cache.Decision
}

// known returns what was fitted under a key.
func (on *Calibration) known(key string) (cache.Decision, bool) {
	on.lock.Lock()
	defer on.lock.Unlock()
	d, ok := on.fitted[key]
	return d, ok
}

// keep keeps what was fitted.
func (on *Calibration) keep(key string, d cache.Decision) {
	on.lock.Lock()
	defer on.lock.Unlock()
	if on.fitted == nil {
		on.fitted = map[string]cache.Decision{}
	}
	on.fitted[key] = d
}

// Prepare fits the maps of the stages that fit, on the calibration, for one group of layers: [stage], nil
// where there is nothing to fit. Without a calibration nothing is prepared, and Decide fits on the prompt.
func (p *Pipeline) Prepare(c Cell, on *Calibration, layers []int) ([]*cache.Decision, error) {
	prepared := make([]*cache.Decision, len(p.methods))
	last := -1
	for i, m := range p.methods {
		if fitsMaps(m) && !p.leaves(i, c) {
			last = i
		}
	}
	if on == nil || last < 0 {
		return prepared, nil
	}
	var view *cache.View
	for i, m := range p.methods[:last+1] {
		if p.leaves(i, c) {
			continue
		}
		key := fmt.Sprint(p.names[:i+1], layers)
		d, known := on.known(key)
		if !known {
			var err error
			if view == nil {
				if view, err = p.calibrated(on, prepared, layers); err != nil {
					return nil, err
				}
			}
			if fitsMaps(m) {
				d, err = m.(fitter).fitMap(c, view)
			} else {
				d, err = m.Decide(c, view)
				d = cache.Decision{Map: d.Map, Merge: d.Merge}
			}
			if err != nil {
				return nil, err
			}
			on.keep(key, d)
		}
		prepared[i] = &d
		if view != nil && i < last {
			view = view.Apply(d)
		}
		c = c.after(d)
	}
	for i, m := range p.methods {
		if !fitsMaps(m) {
			prepared[i] = nil // decided on the prompt
		}
	}
	return prepared, nil
}

// calibrated returns the calibration's rows as the stages that are prepared already leave them.
func (p *Pipeline) calibrated(on *Calibration, prepared []*cache.Decision, layers []int) (*cache.View, error) {
	view, err := on.View(layers)
	if err != nil {
		return nil, err
	}
	for _, d := range prepared {
		if d != nil {
			view = view.Apply(*d)
		}
	}
	return view, nil
}

// Decide runs the stages on the rows of one group of layers. It returns their decisions and the prompt as
// they leave it. The future goes to the bounds alone.
func (p *Pipeline) Decide(c Cell, prompt, future *cache.View, prepared []*cache.Decision) ([]cache.Decision, *cache.View, error) {
	var decisions []cache.Decision
	steps := p.steps(c)
	for n, i := range steps {
		d, err := p.decide(i, c, prompt, future, prepared)
		if err != nil {
			return nil, nil, err
		}
		decisions = append(decisions, d)
		if n == len(steps)-1 {
			return decisions, prompt.Stored(d), nil
		}
		prompt = prompt.Apply(d)
		future = future.Apply(cache.Decision{Map: d.Map, Merge: d.Merge, Producer: d.Producer})
		c = c.after(d)
	}
	return decisions, prompt, nil
}

// decide runs one stage.
func (p *Pipeline) decide(i int, c Cell, prompt, future *cache.View, prepared []*cache.Decision) (cache.Decision, error) {
	if i == ring {
		return p.keepRing(c, prompt), nil
	}
	c = p.shown(i, c)
	d, err := p.method(i, c, prompt, future, prepared)
	if r, ok := p.methods[i].(repeater); ok && err == nil {
		d = redeciding(d, c, p.methods[i], r)
	}
	return d, err
}

// method runs the method of a stage.
func (p *Pipeline) method(i int, c Cell, prompt, future *cache.View, prepared []*cache.Decision) (cache.Decision, error) {
	m := p.methods[i]
	if fitsMaps(m) {
		f := m.(fitter)
		var known *cache.Decision
		if prepared != nil {
			known = prepared[i]
		}
		d, err := fitted(f, c, prompt, known)
		if l, ok := m.(learner); ok && err == nil {
			return l.apply(c, prompt, d)
		}
		return d, err
	}
	if s, ok := m.(seer); ok {
		return s.foresee(c, prompt, future)
	}
	return m.Decide(c, prompt)
}

// fitted returns what was fitted on another text, or else fits on the prompt.
func fitted(f fitter, c Cell, prompt *cache.View, prepared *cache.Decision) (cache.Decision, error) {
	if prepared != nil {
		return *prepared, nil
	}
	d, err := f.fitMap(c, prompt)
	return onSequence(d), err
}

// onSequence charges a map that was fitted on the prompt to the cache: it must travel with the sequence.
func onSequence(d cache.Decision) cache.Decision {
	d.MetaPerStore += d.Weights
	d.Weights = 0
	d.Warnings = append(slices.Clone(d.Warnings), cache.Warning{
		Code: "fitted-on-sequence",
		Text: "what was fitted on the prompt itself is charged to the cache; --calibrate names another text of the model",
	})
	return d
}

// after is the cell as a decision leaves it.
func (c Cell) after(d cache.Decision) Cell {
	if d.Map == nil {
		return c
	}
	shape := d.Map.Shape(cache.Shape{Heads: c.Heads, K: c.Dim, V: c.VDim})
	c.Heads, c.Dim, c.VDim = shape.Heads, shape.K, shape.V
	if _, ok := d.Map.(cache.Fold); ok {
		c.Folded = true
	}
	return c
}
