package trace

import "math/bits"

const (
	// firstNeedleKey keeps needles off the first tokens, which may be sinks.
	firstNeedleKey = 4
	// leastSilence is the shortest distance from a needle to the query that asks for it.
	leastSilence = 16
	// leastNeedleWindow is the shortest length with needles of its own.
	leastNeedleWindow = 64
)

// planNeedles lists all needles of a model and text, whatever the length of the trace, so that a longer
// trace has those of a shorter one: perWindow of them are asked for in the decode window of every power
// of two n, the last min(64, max(16, n/8)) of its tokens. Their silences are drawn one from each of
// perWindow octaves between 16 and n: the first needle of a window lies within its first sixteenth, the
// others in octaves that move from one power of two to the next, so that all octaves occur.
func planNeedles(key uint64, layers, kvHeads, perWindow int) []Needle {
	var plan []Needle
	taken := map[Needle]bool{} // with Query 0
	for n := leastNeedleWindow; n <= maxSynthTokens; n *= 2 {
		window := min(64, max(16, n/8))
		least, most := bits.Len(leastSilence)-1, bits.Len(uint(n))-2 // octaves 2^o to 2^(o+1)
		for j := range perWindow {
			slot := len(plan)
			d := Needle{Layer: slot % layers, KVHead: slot / layers % kvHeads}
			query := n - 1 - j*window/perWindow
			draw := func(lo, hi int) int { // in [lo, hi)
				return lo + int(uniform(keyed(key, forNeedles, uint64(n), uint64(j)))*float64(hi-lo))
			}
			if j == 0 {
				d.Key = draw(firstNeedleKey, max(firstNeedleKey+1, n/16))
			} else {
				octave := most - (j*(most-least+1)/perWindow+bits.Len(uint(n)))%(most-least+1)
				d.Key = query - draw(1<<octave, min(2<<octave, query-firstNeedleKey+1))
			}
			for taken[d] {
				d.Key++
			}
			taken[d] = true
			d.Query = query
			plan = append(plan, d)
		}
	}
	return plan
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

// plant finds the needles of one KV head and numbers them in the order of the plan. Codes are unit
// vectors, so a head has few of them: needles beyond share them in turn.
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
