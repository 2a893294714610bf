package method

import (
	"fmt"

	"kvgauge/sim/cache"
	"kvgauge/sim/record"
)

// intervalParam is that of the methods that can decide again.
var intervalParam = Param{Name: "interval", Default: "0", Max: 1 << 20, Help: "decides again on what is stored each time so many tokens of the sequence are through; 0: once, at the end of the prompt"}

// redecider is the policy of a repeater: at every so many tokens the method decides on the live store as it did
// on the prompt, and what it does not keep goes. Between them the cache grows.
type redecider struct {
	method Method
	cell   Cell
	every  int
}

// redeciding adds the policy to what a repeater decided on the prompt.
func redeciding(d cache.Decision, c Cell, m Method, r repeater) cache.Decision {
	every, queries := r.every()
	if every > 0 {
		d.Policy, d.Queries = redecider{m, c, every}, queries
	}
	return d
}

// decidedAgain is the warning that says how often that was.
func decidedAgain(c Cell, every int) []cache.Warning {
	if c.Decode == 0 {
		return nil
	}
	n := c.SeqLen/every - c.Prompt()/every
	return []cache.Warning{{
		Code: "decided-again",
		Text: fmt.Sprintf("the eviction was decided again %s over %s, one at every %s of the sequence",
			record.Count(n, "time", ""), record.Count(c.Decode, "decoded token", ""), record.Count(every, "token", "")),
	}}
}

// Watches is false: what decides are the rows and the queries.
func (redecider) Watches() bool { return false }

// After decides. A method that cannot decide on rows that it could decide on before keeps them.
func (p redecider) After(s *cache.Step) {
	if !s.Last || s.Token%p.every != 0 {
		return
	}
	if d, err := p.method.Decide(p.cell, s.View()); err == nil {
		s.Keep(d.Keep)
	}
}
