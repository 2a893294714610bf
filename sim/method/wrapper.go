package method

import (
	"fmt"

	"kvgauge/sim/cache"
)

// Wrapper is a method that may stand behind one that decides the same thing, as in snapkv+adakv: the two decide
// together, in one place of the pipeline.
type Wrapper interface {
	// Around returns the method that both make, and false where the one before is not of its kind.
	Around(base Method) (Method, bool)
}

// sharer is a method that scores by an observation and keeps as many entries of each head of a layer.
type sharer interface {
	observed() observation
	// entries is how many each head keeps, the window included; the prompt's rows or more are all.
	entries(c Cell, v *cache.View) (int, []cache.Warning)
}

var (
	_ sharer = snapKV{}
	_ sharer = pyramidKV{}
)

// wrap puts a stage's method around the last one, if it is a Wrapper of it. What both have parameters for is
// the base's to say.
func (p *Pipeline) wrap(m Method, s stage, args Args) (wrapped bool, err error) {
	w, ok := m.(Wrapper)
	if !ok {
		return false, nil
	}
	last := len(p.methods) - 1
	both, ok := w.Around(p.methods[last])
	if !ok {
		return false, nil
	}
	for _, common := range observationParams() {
		if s.given.Given(common.Name) {
			return false, fmt.Errorf("%s takes %s from %s: give it there", s.info.Name, common.Name, p.names[last])
		}
		delete(args, common.Name)
	}
	p.methods[last] = both
	p.names[last] += "+" + s.canonical(args)
	return true, nil
}
