package kernel

import (
	"math"
	"slices"
)

// Shared: attention of decoding, whose steps are calls of the active path.

const (
	// Chunk is how many entries one partial result covers. Results are merged in index order, so that
	// they do not depend on how many threads computed them.
	Chunk = 1024

	// block is how many rows are scored before their values are summed, one step of the online softmax: 64 rows of
	// 128 halves are 16 KiB, so that a block of keys and its values stay in the nearest caches while every query head
	// of the group reads them.
	block = 64

	// tileHeads is how many query heads a tile of the assembly has, at most.
	tileHeads = 4
)

// Partial is the state of the online softmax of one query head over one chunk: the largest logit, the sum of
// exp(logit-Max), and the sum of the values weighted by the same. A head that reads none of the rows has the lowest Max.
type Partial struct {
	Max, Sum float32
	Acc      []float32 // [dim of a value]
	Logits   []float32 // where not nil, receives the logits of the chunk's rows
}

// Scratch is what one thread needs to attend; it is reused from call to call.
type Scratch struct {
	rows   []float32 // [block][dim] decoded rows, where a path or a rotation needs them
	logits []float32 // [heads][block]
	acc    []float32 // [heads][dim] weighted sums
	state  softmaxState

	scales, mins []float32 // [block][groups] of an Int4 block, widened, and 3 more
	ones, zeros  []float32 // as long as these, and at least [heads]
	scaledProbs  []float32 // [tileHeads][groups/4][block][4] probabilities times scales
	minSums      []float32 // [tileHeads][groups] probabilities times minima
	lines        []float32 // the queries of a call in the order of Int4 codes; empty until they are needed
	kScale       []float32 // [block] of an Int8 block, widened
	vScale       []float32 // [block]
	q            []float32 // [heads][dim] the query times a scale a channel
	tail         []float32 // [GroupDim] channels of a row that the assembly leaves
	part         []float32 // [tileHeads][block] what the last columns add to logits

	factor, offset []float32   // [block][up to dim/16] of a Blocked block
	halves         []uint16    // [block][up to dim/8] as they are stored
	pairs          []float32   // as many, widened
	entries        [16]float32 // of its table

	bent       bent
	away, exps []float32 // [block] distances of keys, and the exponentials of a soft cap

	next *byte // what is read after the block at hand, to be brought into the cache meanwhile
}

// softmaxState is the state of the online softmax of several heads, [head] each.
type softmaxState struct {
	max, sum []float32
	rescale  []float32 // exp(max before the block - max now): the factor of earlier sums
	part     []float32 // sum over the block alone
}

// NewScratch makes room for heads query heads on rows of dim channels, the larger of keys and values.
func NewScratch(heads, dim int) *Scratch {
	groups, parts := Int4.ScalesPerRow(dim), (dim+15)/16
	all := block*groups + 3 // the assembly reads four groups at a time
	floats := func(n int) []float32 { return make([]float32, n) }
	s := &Scratch{
		rows: floats(block * dim), logits: floats(heads * block), acc: floats(heads * dim), state: newSoftmaxState(heads),
		scales: floats(all), mins: floats(all), ones: floats(max(all, heads)), zeros: floats(all),
		scaledProbs: floats(tileHeads * block * fours(groups)), minSums: floats(tileHeads * fours(groups)), lines: floats(heads * (dim + dim/8)),
		kScale: floats(block), vScale: floats(block), q: floats(heads * dim), tail: floats(GroupDim), part: floats(tileHeads * block),
		factor: floats(block*parts + 3), offset: floats(block*parts + 3), halves: make([]uint16, 2*block*parts), pairs: floats(2 * block * parts),
		away: floats(block), exps: floats(block),
	}
	for i := range s.ones {
		s.ones[i] = 1
	}
	return s
}

// fours is n rounded up to whole fours.
func fours(n int) int { return (n + 3) &^ 3 }

// newSoftmaxState makes room for heads heads; the assembly works on sixteen at a time.
func newSoftmaxState(heads int) softmaxState {
	padded := (heads + 15) &^ 15
	buf := make([]float32, 4*padded)
	return softmaxState{buf[:padded], buf[padded : 2*padded], buf[2*padded : 3*padded], buf[3*padded:]}
}

// first returns the state of heads heads that have seen nothing.
func (s softmaxState) first(heads int) softmaxState {
	t := softmaxState{s.max[:heads], s.sum[:heads], s.rescale[:heads], s.part[:heads]}
	for h := range heads {
		t.max[h], t.sum[h] = lowest, 0
	}
	return t
}

// begin returns the state of heads heads that have seen nothing, and their weighted sums, [heads][dim].
func (s *Scratch) begin(heads, dim int) (st softmaxState, acc []float32) {
	acc, s.lines = s.acc[:heads*dim], s.lines[:0]
	clear(acc)
	return s.state.first(heads), acc
}

// end writes the state and the weighted sums of each head to out.
func (s softmaxState) end(acc []float32, out []Partial) {
	dim := len(acc) / len(out)
	for h := range out {
		out[h].Max, out[h].Sum = s.max[h], s.sum[h]
		copy(out[h].Acc, acc[h*dim:(h+1)*dim])
	}
}

// join takes a logit without a value into the state of a head and its weighted sum.
func (s softmaxState) join(h int, logit float32, acc []float32) {
	if logit > s.max[h] {
		c := exp(s.max[h] - logit)
		s.max[h], s.sum[h] = logit, s.sum[h]*c
		for i := range acc {
			acc[i] *= c
		}
	}
	s.sum[h] += exp(logit - s.max[h])
}

var minusInf = float32(math.Inf(-1))

// Attend runs the online softmax of each query head of a group over rows lo to hi of one stored head.
//
//	logit[h][i] = q[h] . k[i]
//	Acc[h]      = sum over i of exp(logit[h][i]-Max[h]) * v[i]
//
// q is [heads][dim of a key] and carries the softmax scale already; at most Chunk rows belong to one call;
// out holds one Partial a head. Each key and value row is read once for all heads, at its own precision.
// shift, where not nil, rotates the first key rows of the store before they are used. v may be a Prefix of k.
func Attend(q []float32, k, v *Rows, lo, hi int, shift *KeyShift, s *Scratch, out []Partial) {
	st, acc := s.begin(len(out), v.Dim)
	for first := lo; lo < hi; lo += block {
		n := min(block, hi-lo)
		pos, unread := s.bent.block(lo-first, n)
		if unread {
			recordUnread(out, n)
			continue
		}
		kScale, vScale := s.ones[:n], s.ones[:n]
		s.next = v.at(lo)
		if shift.covers(lo) {
			for i := range n {
				k.Row(lo+i, s.rows[i*k.Dim:])
			}
			shift.apply(s.rows[:n*k.Dim], k.Dim, lo)
			scoreFloats(q, k.Dim, s.rows[:n*k.Dim], s.logits, block)
		} else {
			kScale = active.rowScales(k, lo, n, kScale, s.kScale)
			scoreRows(q, k, lo, n, s, s.logits, block)
		}
		if pos != nil {
			kScale = s.bent.bend(s, pos, kScale)
		}
		recordLogits(out, s.logits, n, kScale, &kScale[0] != &s.ones[0])
		vScale = active.rowScales(v, lo, n, vScale, s.vScale)
		active.onlineSoftmax(s.logits, n, kScale, vScale, st)
		s.next = k.at(lo + n)
		weightedSumRows(s.logits, v, lo, n, s, acc, st.rescale)
	}
	st.end(acc, out)
}

// recordLogits appends a block's n logits to the Logits of each head that wants them, each times its scale where
// they are scaled.
func recordLogits(out []Partial, logits []float32, n int, scale []float32, scaled bool) {
	for h := range out {
		if out[h].Logits == nil {
			continue
		}
		at := len(out[h].Logits)
		out[h].Logits = append(out[h].Logits, logits[h*block:h*block+n]...)
		if scaled {
			for i, x := range scale[:n] {
				out[h].Logits[at+i] *= x
			}
		}
	}
}

// recordUnread appends the logits of n rows that no head reads.
func recordUnread(out []Partial, n int) {
	for h := range out {
		if x := out[h].Logits; x != nil {
			out[h].Logits = x[:len(x)+n]
			setAll(out[h].Logits[len(x):], minusInf)
		}
	}
}

// setAll sets all of x.
func setAll(x []float32, to float32) {
	for i := range x {
		x[i] = to
	}
}

// rowScales returns the factors of n rows that the path leaves to the online softmax: the rows' own, and the scales of
// Int8 rows and of raw ones, in room; ones where there are none.
func (p *path) rowScales(r *Rows, lo, n int, ones, room []float32) []float32 {
	coded := p.rawCodes && (r.Format == Int8 && r.Scale != nil && r.Tokens == 0 || r.unscaled())
	if !coded && r.Factor == nil {
		return ones
	}
	room = room[:n]
	switch {
	case !coded:
		p.floats(room, r.Factor[lo:])
		return room
	case r.Format == Int8:
		p.floats(room, r.Scale[lo:])
	default:
		r.rowScales(room, lo)
	}
	if r.Factor != nil {
		for i, u := range r.Factor[lo : lo+n] {
			room[i] *= halfs[u]
		}
	}
	return room
}

// Merge combines the states of one query head in the order of their chunks and writes the attention
// output, [dim]. The head's states are parts[first], parts[first+step] and so on. It returns the largest
// logit and the sum of exp(logit - largest), that of the rule's sink among them. The output of a query that reads none
// of the rows is zero, and its sum infinite.
func Merge(parts []Partial, first, step int, rule *Rule, out []float32) (largest, sum float32) {
	m := float32(lowest)
	for i := first; i < len(parts); i += step {
		m = max(m, parts[i].Max)
	}
	clear(out)
	if m == lowest {
		return m, float32(math.Inf(1))
	}
	if rule.HasSink {
		sink := float32(rule.Sink)
		m = max(m, sink)
		sum = exp(sink - m)
	}
	for i := first; i < len(parts); i += step {
		c := exp(parts[i].Max - m)
		sum += c * parts[i].Sum
		active.axpy(c, parts[i].Acc, out)
	}
	for i := range out {
		out[i] /= sum
	}
	return m, sum
}

// ones are the factors of rows without scales.
var ones = slices.Repeat([]float32{1}, block)

// Axpy adds p*x to y, which is as long.
func Axpy(p float32, x, y []float32) { active.axpy(p, x, y) }

// Dot returns the inner product of two vectors.
func Dot(x, y []float32) float32 { return active.dot(x, y[:len(x)]) }

// Squares sets sums to the squared lengths of rows [len(sums)][dim].
func Squares(sums []float64, rows []float32, dim int) {
	clear(sums)
	active.squares(sums, rows[:len(sums)*dim], dim)
}

// Max raises y to x, which is as long, where x is larger.
func Max(x, y []float32) { active.maxInto(x, y) }

// Min lowers y to x, which is as long, where x is smaller.
func Min(x, y []float32) { active.minInto(x, y) }
