package method

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// tuner is a method whose knob does not take every value of its parameter, or not in the order of sizes.
type tuner interface {
	// settings are the values of the knob in a cell, from the smallest cache to the largest. Those that Fit
	// refuses come first or not at all.
	settings(c Cell) []string
}

// Knob sets the size of a pipeline's cache: one parameter of one of its stages.
type Knob struct {
	Param    string   // method:parameter, for messages
	Settings []string // from the smallest cache to the largest
	pipeline *Pipeline
	stage    int
}

// Knob finds the pipeline's knob in a cell: of the stages whose knob the spec leaves open the one with most
// settings, the first among equals, since it comes nearest to any size. It says false where there is none,
// and where a stage before the knob does not apply to the cell.
func (p *Pipeline) Knob(c Cell) (Knob, bool) {
	best := Knob{pipeline: p}
	for i, s := range p.stages {
		if p.wraps(i) || p.leaves(p.at[i], c) {
			continue
		}
		m := p.methods[p.at[i]]
		if s.tunable() {
			if settings := s.settings(m, p.shown(p.at[i], c)); len(settings) > len(best.Settings) {
				best.Param, best.Settings, best.stage = s.info.Name+":"+s.knob(), settings, i
			}
		}
		after, err := p.fit(p.at[i], c)
		switch {
		case err == nil:
			c = after
		case !s.tunable():
			return best, false
		}
	}
	return best, best.Settings != nil
}

// tunable says whether the stage has a knob that its spec leaves open.
func (s stage) tunable() bool { return s.knob() != "" }

// knob is the stage's knob that its spec leaves open, or that of its values' format, or "".
func (s stage) knob() string {
	names := []string{s.info.Knob}
	if of, ok := Lookup(s.given[valueParam.Name]); ok && of.Knob != "" {
		names = append(names, valuePrefix+of.Knob)
	}
	for _, name := range names {
		if p, ok := s.param(name); ok && !s.given.Given(name) && (p.Unless == "" || !s.given.Given(p.Unless)) {
			return name
		}
	}
	return ""
}

// settings are the values of the stage's knob.
func (s stage) settings(m Method, c Cell) []string {
	if t, ok := m.(tuner); ok {
		return t.settings(c)
	}
	info, args, name := s.info, s.args(Entries{}), s.knob()
	if own, ok := strings.CutPrefix(name, valuePrefix); ok {
		info, _ = Lookup(s.given[valueParam.Name])
		args, name = args.values(info), own
	}
	if info.Settings != nil {
		return info.Settings(args)
	}
	p, _ := info.param(name)
	switch p.Kind {
	case Choice:
		return p.Choices
	case Budget:
		return integers(1, c.SeqLen)
	}
	return integers(p.Min, p.Max)
}

// integers are the numbers lo to hi as text.
func integers(lo, hi int) []string {
	var out []string
	for n := lo; n <= hi; n++ {
		out = append(out, strconv.Itoa(n))
	}
	return out
}

// Set returns the pipeline with the knob at Settings[i]; its name says so.
func (k Knob) Set(i int) (*Pipeline, error) {
	stages := slices.Clone(k.pipeline.stages)
	stages[k.stage] = stages[k.stage].with(stages[k.stage].knob(), k.Settings[i])
	return build(stages, k.pipeline.budget)
}

// with returns the stage with a parameter given.
func (s stage) with(param, value string) stage {
	s.given = maps.Clone(s.given)
	s.given[param] = value
	return s
}

// Counted returns the pipeline with every budget that is a share replaced by the entries that it is of
// seqLen tokens: what keeps its number on shorter sequences.
func (p *Pipeline) Counted(seqLen int) (*Pipeline, error) {
	stages := slices.Clone(p.stages)
	for i, s := range stages {
		if p.wraps(i) {
			continue
		}
		args := s.args(p.budget)
		for _, param := range s.info.Params {
			if param.Kind == Budget && args.Given(param.Name) {
				count := Entries{Count: args.Budget(param.Name).Of(seqLen)}
				stages[i] = stages[i].with(param.Name, count.String())
			}
		}
	}
	return build(stages, p.budget)
}
