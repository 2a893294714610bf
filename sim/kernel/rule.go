package kernel

import "math"

// Shared: what attention makes of the products of queries and keys before its softmax, and which keys a query reads.

// Rule is the attention of one query head. With the product of a query at token t and a key at token i,
//
//	x     = Scale * q.k
//	x     = Softcap * tanh(x / Softcap)                   where there is a Softcap
//	logit = x + Slope*(i - t)                             ALiBi (Press et al. 2021, arXiv:2108.12409)
//
// for the keys that the query reads: all up to its own, or those of the window and of the chunk. A sink is a logit that
// joins the softmax denominator and has no value (gpt-oss).
type Rule struct {
	Scale   float64
	Softcap float64 // 0: none
	Slope   float64
	Window  int // keys t-Window+1 to t are read; 0: all up to t
	Chunk   int // keys of the query's own chunk of so many tokens are read; 0: all
	Sink    float64
	HasSink bool
}

// Scaled is the rule of plain causal attention.
func Scaled(scale float64) Rule { return Rule{Scale: scale} }

// First is the first token whose key a query at a token reads.
func (r *Rule) First(token int) int {
	first := 0
	if r.Window > 0 {
		first = max(first, token-r.Window+1)
	}
	if r.Chunk > 0 {
		first = max(first, token/r.Chunk*r.Chunk)
	}
	return first
}

// bends says whether logits are anything but scaled products of all keys up to the query's own.
func (r *Rule) bends() bool { return r.Softcap != 0 || r.Slope != 0 || r.Window > 0 || r.Chunk > 0 }

// Bends says whether any of some rules makes logits that are not scaled products of all keys.
func Bends(rules []Rule) bool {
	for i := range rules {
		if rules[i].bends() {
			return true
		}
	}
	return false
}

// Sight is what one query sees: it stands at a token, and of a head's rows its rule allows some of the first Rows.
type Sight struct{ Token, Rows int }

// Sights are those of n queries from a token on, where row i is that of token i.
func Sights(first, n int) []Sight {
	s := make([]Sight, n)
	for i := range s {
		s[i] = Sight{first + i, first + i + 1}
	}
	return s
}

// Logits makes logits of the scaled products of a query at a token with the keys of rows at positions pos, ascending; nil
// is row i at position i. Those of keys that it does not read become minus infinity.
func (r *Rule) Logits(row []float64, pos []int32, token int) {
	if r.Softcap != 0 {
		for i, x := range row {
			row[i] = r.Softcap * math.Tanh(x/r.Softcap)
		}
	}
	if r.Slope != 0 {
		for i := range row {
			row[i] += r.Slope * float64(positionOf(pos, i)-token)
		}
	}
	if first := r.First(token); first > 0 {
		for i := range row {
			if positionOf(pos, i) >= first {
				break
			}
			row[i] = math.Inf(-1)
		}
	}
}

// WithoutSink is the rule for a share of what lies on keys.
func (r Rule) WithoutSink() Rule {
	r.HasSink = false
	return r
}

// WithSink is the log of a softmax denominator with the sink, of that without: lse.
func (r *Rule) WithSink(lse float64) float64 {
	if !r.HasSink {
		return lse
	}
	if lse < r.Sink {
		return r.Sink + math.Log1p(math.Exp(lse-r.Sink))
	}
	return lse + math.Log1p(math.Exp(r.Sink-lse))
}

// positionOf is the position of row i.
func positionOf(pos []int32, i int) int {
	if pos == nil {
		return i
	}
	return int(pos[i])
}
