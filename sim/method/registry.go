package method

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Family groups methods by what they reduce.
type Family string

const (
	Baseline     Family = "baseline"     // nothing: the reference
	Sharing      Family = "sharing"      // heads or layers that use one cache
	Latent       Family = "latent"       // rows in a basis of lower rank
	Eviction     Family = "eviction"     // entries
	Channel      Family = "channel"      // dimensions of keys
	Merging      Family = "merging"      // rows of adjacent layers
	Quantisation Family = "quantisation" // bits
	Selection    Family = "selection"    // entries read, not entries held
	Bound        Family = "bound"        // entries or rank, chosen without a policy: what others are held against
)

// families lists them in the order of lists and sets.
var families = []Family{Baseline, Sharing, Latent, Eviction, Channel, Merging, Quantisation, Selection, Bound}

// Info describes a method and makes it.
type Info struct {
	Name    string
	Family  Family
	Summary string // what it does, in one line
	Reduces string // what the cache has less of
	Paper   string // authors, year, arXiv number
	Code    string // the code whose behaviour it follows
	Params  []Param
	// Knob is the parameter that sets the size of the cache, which an equal-bytes run sets. Where none is
	// named it is the Budget of a method that drops entries; a method without one has a fixed size.
	Knob string
	Seed []string // pipelines that it adds to the set "seed"
	// What the conformance tests try besides the defaults: other settings of the parameters; those under which outputs
	// are full's, bit for bit, on 96 tokens in 4 heads of 16 channels (a budget of 100% is wanted to be so in any
	// case); and pipelines of it and others.
	Variants, Lossless, Combined []string
	Traits                       func(Args) Trait // nil: none
	New                          func(Args) (Method, error)
	// Of a method that stores rows in a format, in place of New: the format, and how engines rotate rows before it, nil
	// where they do not.
	Format   func(Args) (format, error)
	Rotation func(Args) (engineRotation, error)
	Settings func(Args) []string // values of the knob, from the smallest cache to the largest; nil: all of its parameter
}

var registry = map[string]Info{}

// Register adds a method; it is called from the init of the method's file and panics where the
// declaration is incomplete.
func Register(i Info) {
	if i.Format != nil {
		i.Params = append(i.Params, rotateParam, valueParam)
		i.New = func(a Args) (Method, error) { return newCodec(i, a) }
	}
	switch {
	case i.Name == "" || strings.ContainsAny(i.Name, ":,+= %"):
		panic(fmt.Sprintf("method: name %q holds characters of the grammar", i.Name))
	case registry[i.Name].Name != "":
		panic("method: " + i.Name + " registered twice")
	case i.Paper == "" || i.Summary == "" || i.acts().stage() < 0 || i.New == nil:
		panic("method: " + i.Name + " lacks a paper, a summary, a family or a constructor")
	}
	if i.acts().scoped() {
		i.Params = append(i.Params, scopeParam)
	}
	for _, p := range i.Params {
		if p.Help == "" || p.Default == "" && p.Auto == "" {
			panic("method: " + i.Name + ":" + p.Name + " lacks help or a default")
		}
		if i.Knob == "" && p.Kind == Budget && i.Family != Selection {
			i.Knob = p.Name
		}
	}
	if _, ok := i.param(i.Knob); i.Knob != "" && !ok {
		panic("method: " + i.Name + " has no parameter " + i.Knob + " to be its knob")
	}
	registry[i.Name] = i
}

// All returns every method, by family and name.
func All() []Info {
	var all []Info
	for _, i := range registry {
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b Info) int {
		return cmp.Or(cmp.Compare(slices.Index(families, a.Family), slices.Index(families, b.Family)),
			strings.Compare(a.Name, b.Name))
	})
	return all
}

// Lookup finds a method by name.
func Lookup(name string) (Info, bool) {
	i, ok := registry[name]
	return i, ok
}

// param finds a declared parameter.
func (i Info) param(name string) (Param, bool) {
	k := slices.IndexFunc(i.Params, func(p Param) bool { return p.Name == name })
	if k < 0 {
		return Param{}, false
	}
	return i.Params[k], true
}

// DefaultSet is the set of pipelines that answer most questions: seed, and the formats and evictions that engines offer most.
const DefaultSet = "default"

// besidesSeed are the pipelines of the default set that seed lacks.
var besidesSeed = []string{"q8_0", "q4_0", "fp8", "kivi", "h2o", "tova"}

// Sets returns the names that stand for several pipelines: default, seed, all, and the families that have methods.
func Sets() []string {
	names := []string{DefaultSet, "seed", "all"}
	for _, f := range families {
		if len(set(string(f))) > 0 {
			names = append(names, string(f))
		}
	}
	return names
}

// set returns the specs that a set name stands for, nil where it is none.
func set(name string) []string {
	var specs []string
	for _, i := range All() {
		switch name {
		case DefaultSet:
			specs = append(specs, i.Seed...)
			if slices.Contains(besidesSeed, i.Name) {
				specs = append(specs, i.Name)
			}
		case "seed":
			specs = append(specs, i.Seed...)
		case "all", string(i.Family):
			specs = append(specs, i.Name)
		}
	}
	return specs
}
