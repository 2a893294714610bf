package method

import (
	"fmt"
	"strings"

	"kvgauge/sim/record"
)

// valueParam is that of every format: the format of values, where it is not that of keys. Its own parameters follow it,
// behind a prefix: q8_0:v=int4,v.group=64.
var valueParam = Param{
	Name: "v", Kind: Format, Auto: "that of keys",
	Help: "the format of values, its parameters behind v.: v=int4,v.group=64",
}

// valuePrefix is that of the parameters of the values' format.
const valuePrefix = "v."

// params are the parameters that the stage has: those of its method, and where values have a format of their own its.
func (s stage) params() []Param {
	of, ok := Lookup(s.given[valueParam.Name])
	if !ok {
		return s.info.Params
	}
	all := append([]Param(nil), s.info.Params...)
	for _, p := range of.Params {
		if p.Name == valueParam.Name {
			continue
		}
		p.Name = valuePrefix + p.Name
		if p.Unless != "" {
			p.Unless = valuePrefix + p.Unless
		}
		all = append(all, p)
	}
	return all
}

// ParamsOf returns the parameters that a stage takes which may yet be incomplete: those of its method, and of a format of
// values that it names.
func ParamsOf(named record.Stage) []Param {
	info, _ := Lookup(named.Method)
	s := stage{info, Args{}}
	for _, p := range named.Params {
		s.given[p.Key()] = p.Value()
	}
	return s.params()
}

// param finds a parameter of the stage.
func (s stage) param(name string) (Param, bool) {
	for _, p := range s.params() {
		if p.Name == name {
			return p, true
		}
	}
	return Param{}, false
}

// values are the parameters of a format of values among those of a stage.
func (a Args) values(of Info) Args {
	own := Args{}
	for _, p := range of.Params {
		own[p.Name] = a[valuePrefix+p.Name]
	}
	return own
}

// orphan says that a parameter is one of a format of values which is not named.
func (s stage) orphan(key string) error {
	if _, formats := s.info.param(valueParam.Name); !formats || s.given.Given(valueParam.Name) || !strings.HasPrefix(key, valuePrefix) {
		return nil
	}
	return fmt.Errorf("%s: parameter %s is of a format of values, which v= must name", s.info.Name, key)
}

// together drops a format of values that is that of keys, with the same parameters.
func (s stage) together() stage {
	if s.given[valueParam.Name] != s.info.Name {
		return s
	}
	args := s.args(Entries{})
	for _, p := range s.info.Params {
		if p.Name != valueParam.Name && args[p.Name] != args[valuePrefix+p.Name] {
			return s
		}
	}
	given := Args{}
	for k, v := range s.given {
		if k != valueParam.Name && !strings.HasPrefix(k, valuePrefix) {
			given[k] = v
		}
	}
	return stage{s.info, given}
}
