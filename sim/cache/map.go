package cache

import "kvgauge/sim/kernel"

// Shape is that of the rows of one token: as many heads, with as many channels in a key and in a value.
type Shape struct {
	Heads, K, V int
	// Latent says that a value is the first V channels of the key, so that one row is stored for both.
	Latent bool
}

// Map makes the rows that are stored from the KV rows of a token. It may keep scratch memory: one goroutine
// uses it at a time.
type Map interface {
	// Shape is that of the stored rows, made of rows of the shape before.
	Shape(before Shape) Shape
	// Row computes the stored rows of the token at position pos: from k, v [heads before][channels] into
	// dstK, dstV [heads][channels]. With a Latent shape dstV shares the memory of dstK.
	Row(pos int, k, v, dstK, dstV [][]float32)
	// Buffers appends to dst the memory of its matrices, which a step reads beside the rows.
	Buffers(dst [][]byte) [][]byte
}

// BatchMap is a Map that makes the rows of a prompt many tokens at a time: the same rows, in less time.
type BatchMap interface {
	Map
	// Rows is Row for the tokens at positions pos: from k, v [heads before][tokens*channels] into dstK, dstV
	// [heads][tokens*channels]. With a Latent shape dstV is left alone.
	Rows(pos []int32, k, v, dstK, dstV [][]float32)
}

// batchTokens is how many tokens a BatchMap gets at a time.
const batchTokens = 64

// Fold is a Map whose rows do not stand for keys and values as they are: each query head projects its query
// before it reads them, and its output after. Both are linear, so that a serving stack folds them
// into the model's own projections where the rotary embedding does not stand between.
type Fold interface {
	Map
	// Query projects the query of a head at position pos, as it would read the rows before the map, to
	// the one that reads the rows after it.
	Query(layer, head, pos int, q, dst []float32)
	// Output projects the weighted sum of values after the map to that of values before it.
	Output(layer, head int, u, dst []float32)
}

// Rebuild is a Fold whose keys are made again from the stored rows at every step, because the rotary
// embedding stands between the two. Its queries stay as they are; no Fold comes after it.
type Rebuild interface {
	Fold
	// Keys writes the keys that the stored rows of entries at positions pos stand for: rows [entries][channels]
	// of one stored head into dst [KV head that it stands for][entries*dim]. Several goroutines may call it at
	// a time.
	Keys(head int, pos []int32, rows []float32, dst [][]float32)
}

// MeanHeads is the Map whose stored head is the mean of several heads before it.
type MeanHeads struct {
	Of [][]int // [stored head] indices of the heads that are averaged; one index copies
}

var _ BatchMap = MeanHeads{}

// Shape has as many heads as there are groups.
func (p MeanHeads) Shape(before Shape) Shape {
	before.Heads = len(p.Of)
	return before
}

// Row averages the rows of each group of heads.
func (p MeanHeads) Row(_ int, k, v, dstK, dstV [][]float32) {
	for c, group := range p.Of {
		mean(dstK[c], k, group)
		mean(dstV[c], v, group)
	}
}

// Rows averages those of many tokens as it does one's.
func (p MeanHeads) Rows(_ []int32, k, v, dstK, dstV [][]float32) { p.Row(0, k, v, dstK, dstV) }

// Buffers is none.
func (MeanHeads) Buffers(dst [][]byte) [][]byte { return dst }

// mean writes the average of the rows named by group, in their order.
func mean(dst []float32, rows [][]float32, group []int) {
	copy(dst, rows[group[0]])
	if len(group) == 1 {
		return
	}
	for _, j := range group[1:] {
		kernel.Axpy(1, rows[j], dst)
	}
	for c := range dst {
		dst[c] /= float32(len(group))
	}
}

// Concat is the Map that puts all heads side by side into one, for maps across heads.
type Concat struct{}

var _ Map = Concat{}

// Shape has one head.
func (Concat) Shape(before Shape) Shape {
	return Shape{Heads: 1, K: before.Heads * before.K, V: before.Heads * before.V}
}

// Row puts the rows of all heads side by side.
func (Concat) Row(_ int, k, v, dstK, dstV [][]float32) {
	at := 0
	for _, row := range k {
		at += copy(dstK[0][at:], row)
	}
	at = 0
	for _, row := range v {
		at += copy(dstV[0][at:], row)
	}
}

// Buffers is none.
func (Concat) Buffers(dst [][]byte) [][]byte { return dst }

// rows is memory for the rows of one token.
type rows struct{ k, v [][]float32 }

func newRows(s Shape) rows {
	r := rows{make([][]float32, s.Heads), make([][]float32, s.Heads)}
	for h := range s.Heads {
		r.k[h] = make([]float32, s.K)
		if s.Latent {
			r.v[h] = r.k[h][:s.V]
		} else {
			r.v[h] = make([]float32, s.V)
		}
	}
	return r
}
