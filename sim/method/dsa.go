package method

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "dsa", Family: Selection,
		Summary: "reads one set of entries for all heads of a layer: a stand-in for a trained index",
		Reduces: "reads",
		Paper:   "DeepSeek-AI 2025, DeepSeek-V3.2-Exp report, section 2",
		Code:    "deepseek-ai/DeepSeek-V3.2-Exp inference/model.py (Indexer), inference/kernel.py",
		Params: []Param{
			{Name: "topk", Default: "2048", Min: 1, Max: 1 << 30, Help: "entries that a step reads"},
			{Name: "index", Kind: Choice, Default: "fit", Choices: []string{"fit", "oracle"}, Help: "a linear index fitted on queries and keys, or the exact probabilities"},
			{Name: "dim", Default: "128", Min: 1, Max: 1 << 20, Help: "index=fit: channels of an index key, at most those of all KV heads"},
		},
		Variants: []string{"topk=40", "dim=8,topk=20", "index=oracle,topk=40", "index=oracle,topk=20"},
		Lossless: []string{"", "index=oracle,topk=96"},
		Combined: []string{"cla+dsa:dim=8,topk=40", "turboquant:qjl=on+dsa:index=oracle,topk=40"},
		New:      newDSA,
	})
}

// dsa stands in for DeepSeek sparse attention (DeepSeek-AI 2025), whose index is computed from hidden states by
// trained weights and so cannot be replayed on a trace.
//
// With index=oracle a step reads the entries with the largest exact probability summed over all query heads: no
// one set for all heads holds more of that mass. Nothing is stored for it. With index=fit each token stores
// an index key of its own, in E4M3 with one power-of-two scale, and a step reads the entries whose index keys
// have the largest product with its index query. That is the best linear image, for the queries that it was
// fitted on, of the sum of all heads' logits. Neither is the accuracy of a model that was trained so.
type dsa struct {
	top, dim int
	oracle   bool
}

var _ fitter = dsa{}

func newDSA(a Args) (Method, error) {
	m := dsa{a.Int("topk"), a.Int("dim"), a["index"] == "oracle"}
	if m.oracle && a["dim"] != "128" {
		return nil, fmt.Errorf("dim=%s: index=oracle has no index keys", a["dim"])
	}
	return m, nil
}

// Fit refuses entries that move, heads that hold different tokens, and a trace without prompt queries to fit on.
func (m dsa) Fit(c Cell) (Cell, error) {
	err := allTokens(c, "reads one set of tokens for all heads, which an eviction before it does not leave them")
	if err == nil && m.fits() {
		err = someQueries(c, "queries of the prompt")
	}
	return c, cmp.Or(err, indexable(c))
}

// fits says that the index is fitted.
func (m dsa) fits() bool { return !m.oracle }

// Decide is that of the oracle.
func (m dsa) Decide(Cell, *cache.View) (cache.Decision, error) {
	return cache.Decision{Select: oracleSelector{m.top}, Warnings: []cache.Warning{{
		Code: "dsa-oracle", Text: "the entries that a step reads are chosen by their exact probabilities: a bound, not the accuracy of DeepSeek's trained index",
	}}}, nil
}

// size is that of all entries and, with index=fit, an index key of a byte a channel and a scale of four for each token.
func (m dsa) size(_ Cell, _ []int, s *cache.Size) error {
	if !m.oracle {
		s.Index = func(s cache.Size) int64 {
			return int64(s.Rows[0]) * int64(min(m.dim, s.Shape.Heads*s.Shape.K)+4)
		}
	}
	return nil
}

// fitMap fits the index. With C the second moment of the queries, summed over each KV head's group and put side
// by side, and A its Cholesky factor, the logits summed over all heads are (A^-1 q).(A^T k) with A^-1 q of
// unit second moment, so that the keys' principal directions after A^T are what the index is to keep.
func (m dsa) fitMap(_ Cell, on *cache.View) (cache.Decision, error) {
	width := on.Heads() * on.Dim
	queries := mat.NewDense(on.Queries()*len(on.Q), width, nil)
	for l, layer := range on.Q {
		for i := range on.Queries() {
			row := queries.RawRowView(l*on.Queries() + i)
			for h, q := range layer {
				for d, x := range q[i*on.Dim : (i+1)*on.Dim] {
					row[h/on.Group()*on.Dim+d] += float64(x)
				}
			}
		}
	}
	moment := mat.NewSymDense(width, nil)
	moment.SymOuterK(1, queries.T())
	ridge := damping * mat.Trace(moment) / float64(width)
	if ridge == 0 {
		ridge = 1 // all queries are zero: any index reads as well as another
	}
	for i := range width {
		moment.SetSym(i, i, moment.At(i, i)+ridge)
	}
	var cholesky mat.Cholesky
	if !cholesky.Factorize(moment) {
		return cache.Decision{}, errFit
	}
	var lower mat.TriDense
	cholesky.LTo(&lower)
	var keys, toKey, toQuery, inverse mat.Dense
	keys.Mul(sideBySide(on.K, on.Dim, 1), &lower)
	axes := principal(&keys, min(m.dim, width))
	toKey.Mul(axes.T(), lower.T())
	if err := inverse.Inverse(&lower); err != nil {
		return cache.Decision{}, errFit
	}
	toQuery.Mul(axes.T(), &inverse)
	s := indexSelector{top: m.top, key: matrix(&toKey), query: matrix(&toQuery)}
	return cache.Decision{
		Select:  s,
		Weights: 2 * int64(len(s.key.Data)+len(s.query.Data)),
		Warnings: []cache.Warning{{
			Code: "dsa-fit", Text: "the entries that a step reads are chosen by a linear index that was fitted: a stand-in, not the accuracy of DeepSeek's trained index",
		}},
	}, nil
}

// indexSelector reads the entries whose index keys match the index query best.
type indexSelector struct {
	top   int
	key   cache.Matrix // [dim][channels of all heads]
	query cache.Matrix // the same
}

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
	r.Selected[0] = appendTopK(scores, top, room, r.Selected[0])
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

// Bytes is nothing.
func (*oracleIndex) Bytes() int64 { return 0 }

// Buffers is nothing: it reads the store's keys.
func (*oracleIndex) Buffers(dst [][]byte) [][]byte { return dst }

// CopyFrom needs nothing.
func (*oracleIndex) CopyFrom(cache.Index) {}

// encodeE4M3 rounds x to a byte of sign, 4 bits of exponent and 3 of fraction, to nearest and ties to even. |x|
// is at most 448, the largest finite value.
func encodeE4M3(x float32) byte {
	b := math.Float32bits(x)
	sign := byte(b >> 24 & 0x80)
	b &= 0x7fffffff
	if b < 0x3c800000 { // below 2^-6: a multiple of 2^-9
		return sign | byte(math.RoundToEven(float64(math.Float32frombits(b))*0x1p9))
	}
	b -= 120 << 23
	b += 0x7ffff + b>>20&1 // carries into the exponent where the fraction overflows
	return sign | byte(b>>20)
}

// e4m3Scale is what the halves of halvesE4M3 are to be multiplied by: the exponents' biases, 15 and 7, differ by 8.
const e4m3Scale = 256

// halvesE4M3 writes codes as binary16 in little-endian bytes, each 1/256 of what it stands for: the same exponent
// and fraction in another place, exact for subnormal numbers too. Four codes go at a time, each in 16 bits of a
// word.
func halvesE4M3(dst, codes []byte) {
	for len(codes) >= 4 {
		x := uint64(binary.LittleEndian.Uint32(codes))
		x = (x | x<<16) & 0x0000ffff0000ffff
		x = (x | x<<8) & 0x00ff00ff00ff00ff
		binary.LittleEndian.PutUint64(dst, x&0x0080008000800080<<8|x&0x007f007f007f007f<<7)
		codes, dst = codes[4:], dst[8:]
	}
	for i, c := range codes {
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(c&0x80)<<8|uint16(c&0x7f)<<7)
	}
}
