package record

import (
	"slices"
	"strings"
)

// Pipeline is the name of a pipeline, taken apart: methods joined by +, each with its parameters after a colon.
//
//	gqa:heads=2+snapkv:budget=128,window=8
//
// Any text is a pipeline: names of records may come from anywhere. Who makes one of methods checks it.
type Pipeline []Stage

// Stage is one method with its parameters, in their order.
type Stage struct {
	Method string
	Params []Param // nil where there is no colon
}

// Param is one parameter as it is written, key=value.
type Param string

// Key is what stands before the sign of equality.
func (p Param) Key() string { key, _, _ := strings.Cut(string(p), "="); return key }

// Value is what stands after it.
func (p Param) Value() string { _, value, _ := strings.Cut(string(p), "="); return value }

// ParsePipeline takes a name apart; String is its inverse.
func ParsePipeline(name string) Pipeline {
	var p Pipeline
	for text := range strings.SplitSeq(name, "+") {
		method, params, colon := strings.Cut(text, ":")
		s := Stage{Method: method}
		if colon {
			for param := range strings.SplitSeq(params, ",") {
				s.Params = append(s.Params, Param(param))
			}
		}
		p = append(p, s)
	}
	return p
}

// String is the name.
func (p Pipeline) String() string {
	names := make([]string, len(p))
	for i, s := range p {
		names[i] = s.String()
	}
	return strings.Join(names, "+")
}

// String is the stage as it is written.
func (s Stage) String() string {
	if s.Params == nil {
		return s.Method
	}
	params := make([]string, len(s.Params))
	for i, p := range s.Params {
		params[i] = string(p)
	}
	return s.Method + ":" + strings.Join(params, ",")
}

// Without returns the pipeline less a parameter of the stages of a method, "" being all.
func (p Pipeline) Without(method, key string) Pipeline {
	out := slices.Clone(p)
	for i, s := range out {
		if method == "" || s.Method == method {
			out[i].Params = slices.DeleteFunc(slices.Clone(s.Params), func(p Param) bool { return p == "" || p.Key() == key })
			if len(out[i].Params) == 0 {
				out[i].Params = nil
			}
		}
	}
	return out
}

// SplitPipelines cuts a comma-separated list of pipelines; a comma before key=value continues the parameters of
// the method before it. Spaces beside commas are none of a name's.
func SplitPipelines(list string) []string {
	var names []string
	for piece := range strings.SplitSeq(list, ",") {
		piece = strings.TrimSpace(piece)
		at := strings.IndexAny(piece, ":=+")
		if at < 0 || piece[at] != '=' || len(names) == 0 {
			names = append(names, piece)
			continue
		}
		last := &names[len(names)-1]
		sep := ":"
		if p := ParsePipeline(*last); p[len(p)-1].Params != nil {
			sep = ","
		}
		*last += sep + piece
	}
	return names
}
