package kernel

import "math"

// Shared: what rules make of the logits of a block, in float32. A key that a query does not read has a logit of minus
// infinity, and so a probability of exactly zero.

// lowest is the largest logit of a query that has read no key. It is finite, so that a block of hidden keys alone adds
// exp(-inf - lowest) = 0 to its sums.
const lowest = -math.MaxFloat32

// bent is what a call of Attend does to logits: the rules of its query heads, which stand at a token, and the positions
// of the rows that it reads.
type bent struct {
	rules       []Rule
	pos         []int32
	token       int
	reshapes    bool // a rule caps logits, or has a slope
	slopes      bool
	some, every int // keys before token some are hidden from some heads, those before token every from all
}

// Bend makes the calls of Attend and AttendSelected with this scratch bend logits by the rules of their query heads,
// which stand at a token; pos are the positions of the rows: of Attend those from its first row on, of AttendSelected all
// that the head holds. Without rules logits stay scaled products.
func (s *Scratch) Bend(rules []Rule, pos []int32, token int) {
	s.bent = bent{rules: rules, pos: pos, token: token}
	for i := range rules {
		r, first := &rules[i], rules[i].First(token)
		s.bent.slopes = s.bent.slopes || r.Slope != 0
		s.bent.reshapes = s.bent.reshapes || r.Softcap != 0 || r.Slope != 0
		if s.bent.some = max(s.bent.some, first); i == 0 {
			s.bent.every = first
		}
		s.bent.every = min(s.bent.every, first)
	}
}

// block says whether no query head reads any of the rows of a call from row at on, n in number, and returns the
// positions of those that logits depend on: nil where they are scaled products of keys that all heads read.
func (b *bent) block(at, n int) (pos []int32, unread bool) {
	if b.rules == nil {
		return nil, false
	}
	return b.depends(b.pos[at : at+n])
}

// depends is block for rows at some positions.
func (b *bent) depends(pos []int32) (same []int32, unread bool) {
	first := int32(b.some)
	if b.some > 0 {
		last := pos[0]
		for _, p := range pos {
			first, last = min(first, p), max(last, p)
		}
		unread = int(last) < b.every
	}
	if !b.reshapes && int(first) >= b.some {
		return nil, unread
	}
	return pos, unread
}

// bend makes logits of the scratch's products with keys at some positions, and returns the factors that they still want.
func (b *bent) bend(s *Scratch, pos []int32, kScale []float32) []float32 {
	n := len(pos)
	away := s.away[:n]
	if b.slopes {
		for i, at := range pos {
			away[i] = float32(int(at) - b.token)
		}
	}
	for h := range b.rules {
		rule, row := &b.rules[h], s.logits[h*block:h*block+n]
		s.scaleRow(row, kScale)
		rule.reshape(row, away, s)
		if first := rule.First(b.token); first > 0 {
			hideBefore(row, pos, first)
		}
	}
	return s.ones[:n]
}

// hideBefore hides the keys that stand before a token.
func hideBefore(row []float32, pos []int32, first int) {
	for i, at := range pos {
		if int(at) < first {
			row[i] = minusInf
		}
	}
}

// scaleRow multiplies the logits of one query by the factors of their rows, where they have any.
func (s *Scratch) scaleRow(row, scale []float32) {
	if &scale[0] == &s.ones[0] {
		return
	}
	for i, x := range scale[:len(row)] {
		row[i] *= x
	}
}

// reshape caps the logits of one query over up to block keys and adds what the rule's slope makes of their distances:
// away is how far each stands behind the query, below zero.
func (r *Rule) reshape(row, away []float32, s *Scratch) {
	if r.Softcap != 0 {
		s.softcap(row, float32(r.Softcap))
	}
	if r.Slope != 0 {
		active.axpy(float32(r.Slope), away, row)
	}
}

// softcap makes the logits x of up to block keys
//
//	most * tanh(x/most) = most * sign(x) * (1-e)/(1+e),  e = exp(-2|x|/most)
//
// with the exponentials of the path, a row at a time.
func (s *Scratch) softcap(row []float32, most float32) {
	e, factor := s.exps[:len(row)], -2/most
	for i, x := range row {
		e[i] = factor * max(x, -x)
	}
	active.sumProbabilities(e, len(e), 1, ones, s.zeros[:1], s.ones[:1], e)
	for i, x := range row {
		t := most * ((1 - e[i]) / (1 + e[i]))
		row[i] = math.Float32frombits(math.Float32bits(t) | math.Float32bits(x)&(1<<31))
	}
}
