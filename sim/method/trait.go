package method

import (
	"slices"
	"strings"
)

// Trait is what a test must know of a method that only its author can say: with it no test names a method as an
// exception.
type Trait uint

const (
	Recodes     Trait = 1 << iota // stores rows of other widths or formats than the trace's
	DropsNewest                   // may drop the entry of the token that was just decoded
	Uneven                        // gives heads or layers budgets of their own
	AsksDecode                    // keeps fewer entries of the prompt where more tokens are to be decoded
	Large                         // may ask for wider rows or more heads than small traces have
)

// always is of a method that has its traits whatever its parameters.
func always(t Trait) func(Args) Trait { return func(Args) Trait { return t } }

// where is of a method that has them with one value of a parameter.
func where(param, value string, t Trait) func(Args) Trait {
	return func(a Args) Trait {
		if a[param] != value {
			return 0
		}
		return t
	}
}

// Traits are those of all stages.
func (p *Pipeline) Traits() (all Trait) {
	for _, s := range p.stages {
		if s.info.acts().recodes() {
			all |= Recodes
		}
		if s.info.Traits != nil {
			all |= s.info.Traits(s.args(p.budget))
		}
	}
	return all
}

// Specs are the pipelines that the conformance tests try the method in.
func (i Info) Specs() []string {
	return slices.Concat([]string{i.Name}, i.With(i.Variants), i.Combined)
}

// With returns a spec for each of some settings, the bare name for an empty one.
func (i Info) With(settings []string) (specs []string) {
	for _, params := range settings {
		specs = append(specs, strings.TrimSuffix(i.Name+":"+params, ":"))
	}
	return specs
}
