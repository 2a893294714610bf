package method

import (
	"math"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// indexSelector reads the entries whose index keys match the index query best.
type indexSelector struct {
	top   int
	key   cache.Matrix // [dim][channels of all heads]
	query cache.Matrix // the same
}

var _ cache.Selector = indexSelector{}

// PerQueryHead is false: one set for all.
func (indexSelector) PerQueryHead() bool { return false }

// Index makes one without keys.
func (s indexSelector) Index(heads, group, dim, longest int) cache.Index {
	di := s.key.Rows
	return &keyIndex{
		indexSelector: s, codes: make([]byte, 0, longest*di), scales: make([]float32, 0, longest), heads: heads, group: group, dim: dim,
		side: make([]float32, heads*dim), key: make([]float32, di), query: make([]float32, di),
		halves: kernel.NewRows(kernel.F16, di, scored), scratch: kernel.NewScratch(1, di),
		scores: make([]float32, longest), room: make([]float32, longest),
	}
}

// keyIndex holds an index key for each token.
type keyIndex struct {
	indexSelector
	codes  []byte    // [token][dim] E4M3
	scales []float32 // [token] powers of two

	heads, group, dim int
	side              []float32 // scratch: the rows of all heads side by side
	key, query        []float32 // scratch
	scores, room      []float32
	halves            kernel.Rows // scratch: some index keys widened
	scratch           *kernel.Scratch
}

// scored is how many index keys are widened at a time.
const scored = 64

var _ cache.Index = (*keyIndex)(nil)

// Append takes the keys of a token head by head, and after the last makes its index key.
func (x *keyIndex) Append(head int, key []float32) {
	copy(x.side[head*x.dim:], key)
	if head < x.heads-1 {
		return
	}
	x.indexSelector.key.Mul(x.side, x.key)
	var most float32
	for _, v := range x.key {
		most = max(most, abs(v))
	}
	scale := float32(1)
	if most > 0 {
		scale = float32(math.Exp2(math.Ceil(math.Log2(float64(most) / 448))))
	}
	for _, v := range x.key {
		x.codes = append(x.codes, encodeE4M3(v/scale))
	}
	x.scales = append(x.scales, scale)
}

// Select reads the whole index, and the best entries.
func (x *keyIndex) Select(r *cache.Reading) {
	r.Bytes = x.Bytes()
	n := len(x.scales)
	if n <= x.top {
		r.All = true
		return
	}
	clear(x.side)
	for j := range x.heads {
		for g := range x.group {
			kernel.Axpy(1, r.Q[(j*x.group+g)*x.dim:(j*x.group+g+1)*x.dim], x.side[j*x.dim:(j+1)*x.dim])
		}
	}
	x.indexSelector.query.Mul(x.side, x.query)
	di := len(x.key)
	for lo := 0; lo < n; lo += scored {
		hi := min(lo+scored, n)
		x.halves.Data = x.halves.Data[:2*(hi-lo)*di]
		halvesE4M3(x.halves.Data, x.codes[lo*di:hi*di])
		kernel.Scores(x.query, &x.halves, 0, hi-lo, x.scratch, x.scores[lo:hi], hi-lo)
	}
	for i, scale := range x.scales {
		x.scores[i] *= e4m3Scale * scale
	}
	pickForAll(r, x.scores[:n], x.top, x.room)
}

// pickForAll reads the entries with the highest scores in every stored head.
func pickForAll(r *cache.Reading, scores []float32, top int, room []float32) {
	r.Selected[0] = largest(scores, top, room, r.Selected[0])
	for j := range r.Selected[1:] {
		r.Selected[j+1] = append(r.Selected[j+1], r.Selected[0]...)
	}
}

// Bytes is what codes and scales take.
func (x *keyIndex) Bytes() int64 { return int64(len(x.codes)) + 4*int64(len(x.scales)) }

// Buffers is codes and scales, and the matrices that make keys and queries.
func (x *keyIndex) Buffers(dst [][]byte) [][]byte {
	dst = append(dst, x.codes, kernel.Memory(x.scales))
	return cache.MatrixBuffers(dst, x.indexSelector.key, x.indexSelector.query)
}

// CopyFrom copies the index keys.
func (x *keyIndex) CopyFrom(o cache.Index) {
	from := o.(*keyIndex)
	x.codes = append(x.codes[:0], from.codes...)
	x.scales = append(x.scales[:0], from.scales...)
}

// oracleSelector reads the entries with the largest probability summed over all query heads.
type oracleSelector struct{ top int }

var _ cache.Selector = oracleSelector{}

// PerQueryHead is false: one set for all.
func (oracleSelector) PerQueryHead() bool { return false }

// Index holds nothing but scratch memory.
func (s oracleSelector) Index(_, group, dim, longest int) cache.Index {
	stride := (longest + 15) &^ 15
	return &oracleIndex{
		oracleSelector: s, group: group, stride: stride, logits: make([]float32, group*stride),
		sum: make([]float32, longest), room: make([]float32, longest), largest: make([]float32, 1), inverse: []float32{1},
		scratch: kernel.NewScratch(group, 2*dim), // keys may have a sketch behind them
	}
}

// oracleIndex computes the probabilities anew at each step.
type oracleIndex struct {
	oracleSelector
	group, stride    int
	logits           []float32 // [query head of a group][stride]
	sum, room        []float32 // [entry]
	largest, inverse []float32
	scratch          *kernel.Scratch
}

var _ cache.Index = (*oracleIndex)(nil)

// Append needs nothing.
func (*oracleIndex) Append(int, []float32) {}

// Select sums the probabilities of all query heads.
func (x *oracleIndex) Select(r *cache.Reading) {
	n := r.Keys[0].Len()
	if n <= x.top {
		r.All = true
		return
	}
	sum := x.sum[:n]
	clear(sum)
	for j, keys := range r.Keys {
		width := x.group * keys.Dim
		kernel.Scores(r.Read[j*width:(j+1)*width], keys, 0, n, x.scratch, x.logits, x.stride)
		for g := range x.group {
			p := x.logits[g*x.stride : g*x.stride+n]
			addSoftmax(p, x.largest, x.inverse, sum)
		}
	}
	pickForAll(r, sum, x.top, x.room)
}

// addSoftmax adds the softmax of the logits p to sum; p, with room as kernel.Probabilities wants it, becomes
// scratch. largest has room for a number and inverse holds a 1.
func addSoftmax(p, largest, inverse, sum []float32) {
	largest[0] = slices.Max(p)
	kernel.Probabilities(p, largest, inverse)
	var total float64
	for _, x := range p {
		total += float64(x)
	}
	kernel.Axpy(float32(1/total), p, sum)
}

// Bytes is nothing.
func (*oracleIndex) Bytes() int64 { return 0 }

// Buffers is nothing: it reads the store's keys.
func (*oracleIndex) Buffers(dst [][]byte) [][]byte { return dst }

// CopyFrom needs nothing.
func (*oracleIndex) CopyFrom(cache.Index) {}
