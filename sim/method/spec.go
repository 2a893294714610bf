package method

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"kvgauge/sim/record"
)

// Parse reads pipelines as the command line gives them. Each argument is a comma-separated list of
// pipelines and set names; a comma before key=value continues the parameters of the method before it:
//
//	gqa:heads=2+snapkv:budget=128,window=8,streamingllm
//
// A method that takes a budget and names none is given each of the budgets in turn; in the default set a budget that is a
// share is one of bytes. A pipeline that was given twice is returned once, at its first place.
func Parse(args []string, budgets []Entries) ([]*Pipeline, error) {
	var pipelines []*Pipeline
	for _, arg := range args {
		for _, spec := range record.SplitPipelines(arg) {
			specs := set(spec)
			if specs == nil {
				specs = []string{spec}
			}
			for _, s := range specs {
				ps, err := expand(s, budgets)
				if err != nil {
					return nil, record.Input(fmt.Errorf("pipeline %q: %w", s, err))
				}
				for _, p := range ps {
					p.bySize(spec == DefaultSet)
				}
				pipelines = append(pipelines, ps...)
			}
		}
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(pipelines, func(p *Pipeline) bool {
		again := seen[p.Name]
		seen[p.Name] = true
		return again
	}), nil
}

// expand makes one pipeline of a spec, or one a budget where a stage names none.
func expand(spec string, budgets []Entries) ([]*Pipeline, error) {
	var stages []stage
	open := false
	for _, named := range record.ParsePipeline(spec) {
		s, err := newStage(named)
		if err != nil {
			return nil, err
		}
		stages = append(stages, s)
		open = open || s.open() != ""
	}
	if !open {
		budgets = budgets[:1]
	}
	var pipelines []*Pipeline
	for _, b := range budgets {
		p, err := build(stages, b)
		if err != nil {
			return nil, err
		}
		pipelines = append(pipelines, p)
	}
	return pipelines, nil
}

// bySize makes the budget that the pipeline's spec leaves open a share of full's bytes, where it is to be one.
func (p *Pipeline) bySize(asked bool) {
	if asked && slices.ContainsFunc(p.stages, func(s stage) bool { return s.open() != "" && s.open() == s.info.Knob }) {
		p.Share = p.budget.Percent / 100
	}
}

// stage is one method with the parameters that the spec gives.
type stage struct {
	info  Info
	given Args
}

// newStage finds the method that a pipeline's name gives, and checks its parameters.
func newStage(named record.Stage) (stage, error) {
	name := named.Method
	info, ok := Lookup(name)
	if !ok {
		return stage{}, unknown(name)
	}
	s := stage{info, Args{}}
	params := slices.Clone(named.Params)
	slices.SortStableFunc(params, func(a, b record.Param) int { // those of a format of values after it is named
		return cmp.Compare(strings.Count(a.Key(), valuePrefix), strings.Count(b.Key(), valuePrefix))
	})
	for _, given := range params {
		key, value := given.Key(), given.Value()
		if key == "" || value == "" {
			return s, fmt.Errorf("%s: %q: want key=value", name, given)
		}
		p, ok := s.param(key)
		if !ok {
			return s, cmp.Or(s.orphan(key), s.unknownParam(key))
		}
		if s.given.Given(key) {
			return s, fmt.Errorf("%s: parameter %s is given twice", name, key)
		}
		v, err := p.parse(value)
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
		s.given[key] = v
	}
	return s.together(), nil
}

// unknown is the error for a name that is no method.
func unknown(name string) error {
	if set(name) != nil {
		return fmt.Errorf("%s is a set of pipelines, which stands alone", name)
	}
	var names []string
	for _, i := range All() {
		names = append(names, i.Name)
	}
	return fmt.Errorf("unknown method %q%s (see kvgauge list methods)", name, record.DidYouMean(name, append(names, Sets()...)))
}

// unknownParam is the error for a parameter that the method lacks.
func (s stage) unknownParam(key string) error {
	var names []string
	for _, p := range s.params() {
		names = append(names, p.Name)
	}
	if len(names) == 0 {
		return fmt.Errorf("%s takes no parameters, not %q", s.info.Name, key)
	}
	if hint := record.DidYouMean(key, names); hint != "" {
		return fmt.Errorf("%s has no parameter %q%s", s.info.Name, key, hint)
	}
	return fmt.Errorf("%s has no parameter %q; it has %s", s.info.Name, key, strings.Join(names, ", "))
}

// open returns the name of the budget parameter that the spec leaves to the default, or "".
func (s stage) open() string {
	for _, p := range s.params() {
		if p.Kind == Budget && !s.given.Given(p.Name) && (p.Unless == "" || !s.given.Given(p.Unless)) {
			return p.Name
		}
	}
	return ""
}

// args are the stage's parameters with defaults filled in, the budget from outside among them.
func (s stage) args(budget Entries) Args {
	args := Args{}
	for _, p := range s.params() {
		args[p.Name] = p.Default
	}
	for k, v := range s.given {
		args[k] = v
	}
	if name := s.open(); name != "" {
		args[name] = budget.String()
	}
	return args
}

// canonical is the stage's name with the parameters that differ from their defaults, sorted, and with
// its budget.
func (s stage) canonical(args Args) string {
	var kvs []record.Param
	for _, p := range s.params() {
		if args.Given(p.Name) && args[p.Name] != p.Default {
			kvs = append(kvs, record.Param(p.Name+"="+args[p.Name]))
		}
	}
	slices.SortFunc(kvs, func(a, b record.Param) int { return strings.Compare(a.Key(), b.Key()) })
	return record.Stage{Method: s.info.Name, Params: kvs}.String()
}
