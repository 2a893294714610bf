package trace

import (
	"math/bits"
	"slices"

	"kvgauge/sim/kernel"
)

// A needle is a key without content or locality, only a code, in dimensions where ordinary queries hold
// nothing but noise: nobody asks for it, although its norm is that of the other keys, until one query
// has the same code. That query's other parts shrink, and the needle gets most of its attention.

const (
	// firstNeedleKey keeps needles off the first tokens, which may be sinks.
	firstNeedleKey = 4
	// leastSilence is the shortest distance from a needle to the query that asks for it.
	leastSilence = 16
	// leastNeedleWindow is the shortest length with needles of its own.
	leastNeedleWindow = 64
)

// needleHome is a layer that needles are planted in.
type needleHome struct {
	layer, kvHeads int
	rule           kernel.Rule // which keys its queries read
}

// planNeedles lists all needles of a model and text, whatever the length of the trace, so that a longer
// trace has those of a shorter one: perWindow of them are asked for in the decode window of every power
// of two n, the last min(64, max(16, n/8)) of its tokens. The key of the first lies within the first
// sixteenth; the silences of the others visit the octaves from 16 to n evenly. Each needle is of the home
// after that of the needle before, and after the last home of the next head. Those whose key the query does not read are
// left out.
func planNeedles(text uint64, homes []needleHome, perWindow int) []Needle {
	var plan []Needle
	taken := map[Needle]bool{} // keys, with Query 0
	for n := leastNeedleWindow; n <= maxSynthTokens; n *= 2 {
		window := min(64, max(16, n/8))
		for j := range perWindow {
			i, query := len(plan), n-1-j*window/perWindow
			draw := func(lo, hi int) int { // in [lo, hi)
				return int(between(keyed(text, forNeedles, uint64(i)), float64(lo), float64(hi)))
			}
			home := homes[i%len(homes)]
			d := Needle{Layer: home.layer, KVHead: i / len(homes) % home.kvHeads}
			if j == 0 {
				d.Key = draw(firstNeedleKey, max(firstNeedleKey+1, n/16))
			} else {
				silence := leastSilence << evenly(i, bits.Len(uint(n/leastSilence))-1)
				d.Key = query - draw(silence, min(2*silence, query-firstNeedleKey+1))
			}
			for taken[d] {
				d.Key++
			}
			taken[d] = true
			d.Query = query
			plan = append(plan, d)
		}
	}
	i := -1
	return slices.DeleteFunc(plan, func(n Needle) bool {
		i++
		return n.Key < homes[i%len(homes)].rule.First(n.Query)
	})
}

// evenly returns the i-th number of a sequence that fills [0, n) evenly from any beginning: multiples of
// the golden ratio.
func evenly(i, n int) int {
	x, _ := bits.Mul64(uint64(i)*golden, uint64(n))
	return int(x)
}

// needlesOf returns the needles of a plan that a trace of so many tokens asks for.
func needlesOf(plan []Needle, tokens int) []Needle {
	var held []Needle
	for _, n := range plan {
		if n.Query < tokens {
			held = append(held, n)
		}
	}
	return held
}

// planted is what the needles of one KV head do to its rows.
type planted struct {
	keys    map[int]int // token of a needle's key -> its code
	queries map[int]int // token of the query that asks -> the same code
}

// plant finds the needles of one KV head and numbers them in the order of the plan. Codes are signed unit
// vectors, so that no query finds two needles a little; a head has few of them, and needles beyond share
// them in turn.
func plant(plan []Needle, layer, kvHead, codes int) planted {
	p := planted{map[int]int{}, map[int]int{}}
	for _, n := range plan {
		if n.Layer == layer && n.KVHead == kvHead {
			code := len(p.keys) % codes
			p.keys[n.Key], p.queries[n.Query] = code, code
		}
	}
	return p
}
