package method

import (
	"fmt"
	"slices"
	"strings"
)

// Parse reads pipelines as the command line gives them. Each argument is a comma-separated list of
// pipelines and set names; a comma before key=value continues the parameters of the method before it:
//
//	gqa:heads=2+snapkv:budget=128,window=8,streamingllm
//
// A method that takes a budget and names none is given each of the budgets in turn. A pipeline that was
// given twice is returned once, at its first place.
func Parse(args []string, budgets []Entries) ([]*Pipeline, error) {
	var pipelines []*Pipeline
	for _, arg := range args {
		for _, spec := range split(arg) {
			specs := set(spec)
			if specs == nil {
				specs = []string{spec}
			}
			for _, s := range specs {
				ps, err := expand(s, budgets)
				if err != nil {
					return nil, err
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

// split cuts an argument into the specs of pipelines.
func split(arg string) []string {
	var specs []string
	for _, piece := range strings.Split(arg, ",") {
		at := strings.IndexAny(piece, ":=+")
		if at < 0 || piece[at] != '=' || len(specs) == 0 {
			specs = append(specs, piece)
			continue
		}
		last := &specs[len(specs)-1]
		sep := ","
		if stage := (*last)[strings.LastIndex(*last, "+")+1:]; !strings.Contains(stage, ":") {
			sep = ":"
		}
		*last += sep + piece
	}
	return specs
}

// expand makes one pipeline of a spec, or one a budget where a stage names none.
func expand(spec string, budgets []Entries) ([]*Pipeline, error) {
	var stages []stage
	open := false
	for _, text := range strings.Split(spec, "+") {
		s, err := parseStage(text)
		if err != nil {
			return nil, fmt.Errorf("pipeline %q: %w", spec, err)
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
			return nil, fmt.Errorf("pipeline %q: %w", spec, err)
		}
		pipelines = append(pipelines, p)
	}
	return pipelines, nil
}

// stage is one method with the parameters that the spec gives.
type stage struct {
	info  Info
	given Args
}

// parseStage reads name or name:key=value,key=value.
func parseStage(text string) (stage, error) {
	name, params, colon := strings.Cut(text, ":")
	info, ok := Lookup(name)
	if !ok {
		return stage{}, unknown(name)
	}
	s := stage{info, Args{}}
	if !colon {
		return s, nil
	}
	for _, kv := range strings.Split(params, ",") {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || key == "" || value == "" {
			return s, fmt.Errorf("%s: %q: want key=value", name, kv)
		}
		p, ok := info.param(key)
		if !ok {
			return s, s.unknownParam(key)
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
	return s, nil
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
	hint := ""
	if n := nearest(name, append(names, Sets()...)); n != "" {
		hint = fmt.Sprintf(", did you mean %s?", n)
	}
	return fmt.Errorf("unknown method %q%s (see kvgauge list methods)", name, hint)
}

// unknownParam is the error for a parameter that the method lacks.
func (s stage) unknownParam(key string) error {
	var names []string
	for _, p := range s.info.Params {
		names = append(names, p.Name)
	}
	if len(names) == 0 {
		return fmt.Errorf("%s takes no parameters, not %q", s.info.Name, key)
	}
	if n := nearest(key, names); n != "" {
		return fmt.Errorf("%s has no parameter %q, did you mean %s?", s.info.Name, key, n)
	}
	return fmt.Errorf("%s has no parameter %q; it has %s", s.info.Name, key, strings.Join(names, ", "))
}

// open returns the name of the budget parameter that the spec leaves to the default, or "".
func (s stage) open() string {
	for _, p := range s.info.Params {
		if p.Kind == Budget && !s.given.Given(p.Name) && (p.Unless == "" || !s.given.Given(p.Unless)) {
			return p.Name
		}
	}
	return ""
}

// args are the stage's parameters with defaults filled in, the budget from outside among them.
func (s stage) args(budget Entries) Args {
	args := Args{}
	for _, p := range s.info.Params {
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
	var kvs []string
	for _, p := range s.info.Params {
		if args.Given(p.Name) && args[p.Name] != p.Default {
			kvs = append(kvs, p.Name+"="+args[p.Name])
		}
	}
	if len(kvs) == 0 {
		return s.info.Name
	}
	slices.Sort(kvs)
	return s.info.Name + ":" + strings.Join(kvs, ",")
}
