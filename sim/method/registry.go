package method

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Info describes a method and makes it.
type Info struct {
	Name    string
	Family  Family
	Summary string // what it does, in one line
	Reduces string // what the cache has less of
	Paper   string // authors, year, arXiv number
	Code    string // the code whose behaviour it follows
	Params  []Param
	// Knob is the parameter that sets the size of the cache, which an equal-bytes run turns. Where none is
	// named it is the Budget of a method that drops entries; a method without one has a fixed size.
	Knob string
	Seed []string // pipelines that it adds to the set "seed"
	New  func(Args) (Method, error)
}

var registry = map[string]Info{}

// Register adds a method; it is called from the init of the method's file and panics where the
// declaration is incomplete.
func Register(i Info) {
	switch {
	case i.Name == "" || strings.ContainsAny(i.Name, ":,+= %"):
		panic(fmt.Sprintf("method: name %q holds characters of the grammar", i.Name))
	case registry[i.Name].Name != "":
		panic("method: " + i.Name + " registered twice")
	case i.Paper == "" || i.Summary == "" || i.acts().stage() < 0 || i.New == nil:
		panic("method: " + i.Name + " lacks a paper, a summary, a family or a constructor")
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

// place orders the stages of a pipeline: by family, and sharing of heads before sharing of layers.
func (i Info) place() int {
	place := 2 * i.acts().stage()
	if i.Reduces == "layers" {
		place++
	}
	return place
}

// acts is the family whose part the method plays in a pipeline: a bound on ranks is a latent, any other
// bound evicts.
func (i Info) acts() Family {
	switch {
	case i.Family != Bound:
		return i.Family
	case i.Reduces == "rank":
		return Latent
	}
	return Eviction
}

// param finds a declared parameter.
func (i Info) param(name string) (Param, bool) {
	k := slices.IndexFunc(i.Params, func(p Param) bool { return p.Name == name })
	if k < 0 {
		return Param{}, false
	}
	return i.Params[k], true
}

// Sets returns the names that stand for several pipelines: seed, all, and the families that have methods.
func Sets() []string {
	names := []string{"seed", "all"}
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
		case "seed":
			specs = append(specs, i.Seed...)
		case "all", string(i.Family):
			specs = append(specs, i.Name)
		}
	}
	return specs
}

// nearest returns the name with the smallest edit distance, or "" where none is near.
func nearest(name string, names []string) string {
	best, dist := "", max(2, len(name)/3)+1
	for _, n := range names {
		if d := levenshtein.ComputeDistance(name, n); d < dist {
			best, dist = n, d
		}
	}
	return best
}
