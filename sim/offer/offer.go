// Package offer knows which serving engines offer a method of this program, and how it is switched on there. Every line is
// one that somebody read in a named version of the engine, at a named place; where an engine has something like a method,
// but not the same, it says what differs. That none of the engines has a method is known too.
//
// offers.json holds it all, and nothing else names an engine's flags. Whoever looks at an engine again goes through all of
// its entries, and then moves its version and the day it was seen.
package offer

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"kvgauge/sim/method"
	"kvgauge/sim/record"
)

//go:embed offers.json
var text []byte

// seen is an engine that was looked at.
type seen struct {
	Name       string `json:"name"`
	Title      string `json:"title"`
	Repository string `json:"repository"` // owner and name at GitHub
	Version    string `json:"version"`
	Released   string `json:"released"` // the day, as year-month-day; empty where it is not known
	Seen       string `json:"seen"`     // the day that all its entries were read
	From       string `json:"from"`     // what was read
}

// The ways in which an engine has a method.
const (
	Same = "same" // what this program measures
	Like = "like" // its own form of it, whose error was not measured: the note says what differs
)

// entry is one method at one engine.
type entry struct {
	Engine  string            `json:"engine"`
	Method  string            `json:"method"`
	When    map[string]string `json:"when"`   // values of parameters that it is for
	Values  []string          `json:"values"` // formats of values, where ${v} stands for one: those that it may be
	Fit     string            `json:"fit"`
	Latent  bool              `json:"latent"`  // also of latents, which some models cache in place of keys and values
	Line    string            `json:"line"`    // with ${evicted}, ${keep} and ${parameter} in place of values
	Version string            `json:"version"` // where it is not the engine's
	Source  string            `json:"source"`  // a path in the engine's repository, or an address
	Note    string            `json:"note"`
}

// absent is a method that no engine has.
type absent struct {
	Method string `json:"method"`
	Why    string `json:"why"`
}

// file is offers.json.
type file struct {
	Reviewed string   `json:"reviewed"` // the day that the file as a whole was gone through
	Engines  []seen   `json:"engines"`
	Offers   []entry  `json:"offers"`
	Absent   []absent `json:"absent"`
}

var known = parse()

// parse reads the file, which tests have checked.
func parse() (f file) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		panic("offers.json: " + err.Error())
	}
	return f
}

// Names are the engines that were looked at, in the order of help texts.
func Names() (names []string) {
	for _, e := range known.Engines {
		names = append(names, e.Name)
	}
	return names
}

// Title is how an engine writes its name.
func Title(name string) string {
	for _, e := range known.Engines {
		if e.Name == name {
			return e.Title
		}
	}
	return name
}

// Asked is the pipeline that somebody wants to switch on.
type Asked struct {
	Pipeline string  // canonical, as records have it
	Kept     float64 // share of a prompt's entries that stay; 1 where none is dropped
	Tokens   int     // of the prompts to come
	Latent   bool    // the model caches latents
}

// Switch says how an engine does it.
type Switch struct {
	Engine  string `json:"engine"`
	Title   string `json:"-"`
	Version string `json:"version"`
	Seen    string `json:"seen"` // the day that it was read
	Fit     string `json:"fit"`
	Line    string `json:"line"` // a command or a line of code; words in capitals are the reader's to fill in
	Source  string `json:"source"`
	Note    string `json:"note"`
}

// Switches are the engines that offer a pipeline, in their order, those that have it the same way first. There are none of a
// pipeline of several methods: no engine is known to join them.
func Switches(a Asked) []Switch {
	p := record.ParsePipeline(a.Pipeline)
	if len(p) != 1 {
		return nil
	}
	info, ok := method.Lookup(p[0].Method)
	if !ok {
		return nil
	}
	var all []Switch
	for _, e := range known.Engines {
		for _, o := range known.Offers {
			if o.Engine != e.Name || o.Method != info.Name || a.Latent && !o.Latent {
				continue
			}
			line, ok := o.line(info, p[0], a)
			if !ok {
				continue
			}
			s := Switch{Engine: e.Name, Title: e.Title, Version: e.Version, Seen: e.Seen, Fit: o.Fit, Line: line, Source: o.Source, Note: o.Note}
			if o.Version != "" {
				s.Version = o.Version
			}
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(x, y Switch) int {
		return strings.Compare(y.Fit, x.Fit) // same before like
	})
	return all
}

// spec is the method with the values that its line is for, so far as they are not its defaults.
func (o entry) spec(info method.Info) string {
	var values []string
	for _, p := range info.Params {
		if want, ok := o.When[p.Name]; ok && want != p.Default {
			values = append(values, p.Name+"="+want)
		}
	}
	if values == nil {
		return o.Method
	}
	return o.Method + ":" + strings.Join(values, ",")
}

// Others are pipelines that make an f16 cache smaller and that an engine has as this program measures them, one of each method
// of which it has none of those given.
func Others(engine string, latent bool, given []string) (specs []string) {
	var had []string
	for _, d := range method.DTypes() {
		if d.Bytes >= 2 {
			had = append(had, d.Name)
		}
	}
	for _, pipeline := range given {
		for _, s := range Switches(Asked{Pipeline: pipeline, Kept: 1, Latent: latent}) {
			if s.Engine == engine {
				had = append(had, record.ParsePipeline(pipeline)[0].Method)
			}
		}
	}
	for _, o := range known.Offers {
		if o.Engine != engine || o.Fit != Same || latent && !o.Latent || slices.Contains(had, o.Method) {
			continue
		}
		info, _ := method.Lookup(o.Method)
		had, specs = append(had, o.Method), append(specs, o.spec(info))
	}
	return specs
}

// line fills the values in. It is not for a pipeline with other values than it is meant for, or with a parameter off its
// default that it does not carry over.
func (o entry) line(info method.Info, s record.Stage, a Asked) (string, bool) {
	values := map[string]string{}
	for _, p := range info.Params {
		values[p.Name] = p.Default
	}
	values[valueFormat] = info.Name
	for _, p := range s.Params {
		values[p.Key()] = p.Value()
	}
	if o.Values != nil && !slices.Contains(o.Values, values[valueFormat]) {
		return "", false
	}
	for key, want := range o.When {
		if values[key] != want {
			return "", false
		}
	}
	carried := map[string]bool{}
	line := os.Expand(o.Line, func(name string) string {
		carried[name] = true
		switch name {
		case evicted:
			return strconv.FormatFloat(math.Round(1e3*(1-a.Kept))/1e3, 'f', -1, 64)
		case keep:
			return strconv.Itoa(max(1, int(math.Round(a.Kept*float64(a.Tokens)))))
		}
		return values[name]
	})
	for _, p := range s.Params {
		_, fixed := o.When[p.Key()]
		sized := slices.ContainsFunc(info.Params, func(d method.Param) bool { return d.Name == p.Key() && d.Kind == method.Budget }) &&
			(carried[evicted] || carried[keep])
		if !fixed && !sized && !carried[p.Key()] {
			return "", false
		}
	}
	return line, true
}

// The values of a line that follow from the size.
const (
	evicted = "evicted" // share of the prompt that is dropped
	keep    = "keep"    // entries that stay of a prompt
)

// valueFormat is the parameter of a format that gives values another.
const valueFormat = "v"

// Absence says why nobody offers a pipeline.
func Absence(pipeline string) string {
	p := record.ParsePipeline(pipeline)
	if len(p) != 1 {
		return "No engine is known to join these methods."
	}
	for _, n := range known.Absent {
		if n.Method == p[0].Method {
			return n.Why
		}
	}
	for _, o := range known.Offers {
		if o.Method == p[0].Method {
			return fmt.Sprintf("Engines offer %s, but not with these parameters or for this model.", o.Method)
		}
	}
	return "None of the engines has it."
}
