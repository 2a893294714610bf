package kernel

import (
	"math"
	"slices"
)

// Scores computes the logits of a batch of queries against rows lo to hi of one stored head:
//
//	out[s*stride+i-lo] = q[s] . k[i]
//
// q is [queries][k.Dim] and carries the softmax scale already. Each block of keys is read once for all
// queries. Where the scales of k are nil, its codes are the values.
func Scores(q []float32, k *Rows, lo, hi int, s *Scratch, out []float32, stride int) {
	s.lines = s.lines[:0]
	for at := lo; at < hi; at += block {
		n := min(block, hi-at)
		s.next = k.at(at + n)
		active.score(q, k, at, n, s, out[at-lo:], stride)
		scales := active.rowScales(k, at, n, nil, s.kScale)
		if scales == nil {
			continue
		}
		for h := range len(q) / k.Dim {
			x := out[h*stride+at-lo:][:n]
			for i := range x {
				x[i] *= scales[i]
			}
		}
	}
}

// Causal computes causal attention of one query head over a prompt without ever holding its matrix: query s
// stands at position first+s and sees the rows up to that, so far as the rule allows; one that stands beyond the last row
// sees them all. q is [queries][k.Dim] and carries the softmax scale already.
//
// Where out is not nil it receives the attention outputs, [queries][v.Dim]. Where sums is not nil the
// probabilities of each row, summed over the queries, are added to it, [rows]: a tile of queries keeps its logits until
// their maxima and sums are known. Work is cut into tiles of block queries by block rows; results do not depend on the
// number of threads.
func Causal(pool *Pool, q []float32, rule Rule, first int, k, v *Rows, out []float32, sums []float64) {
	c := newCausal(q, rule, first, k, v)
	c.out = out
	tiles, wave := (c.queries+block-1)/block, sumTiles
	if sums == nil {
		wave = tiles
	}
	workers := make([]tileWorker, pool.Threads())
	parts := make([][]float32, min(wave, tiles)) // [tile of a wave][rows]
	for hi := tiles; hi > 0; hi -= wave {        // the longest first
		n := min(wave, hi)
		pool.Run(n, func(worker, i int) {
			w := &workers[worker]
			if w.scratch == nil {
				w.scratch = NewScratch(block, max(k.Dim, v.Dim))
			}
			if sums == nil {
				c.attendTile((hi-1-i)*block, w.scratch, nil, nil)
				return
			}
			parts[i] = c.tileSums((hi-1-i)*block, w, parts[i])
		})
		if sums != nil {
			for _, part := range parts[:n] {
				for i, x := range part {
					sums[i] += float64(x)
				}
			}
		}
	}
}

// sumTiles is how many tiles of queries sum their probabilities beside each other; it bounds memory.
const sumTiles = 16

// tileWorker is what a worker of Causal keeps from tile to tile.
type tileWorker struct {
	scratch *Scratch
	logits  []float32 // [blocks of rows][block queries][block] those of a tile
}

// tileSums returns the probabilities of the rows, summed over a tile of queries, in the memory of part where that does.
func (c *causal) tileSums(lo int, w *tileWorker, part []float32) []float32 {
	_, queries, sees := c.tile(lo)
	first, rows := c.begin(lo), (sees+block-1)/block*block
	if size := (rows - first) * block; len(w.logits) < size {
		w.logits = make([]float32, size)
	}
	c.attendTile(lo, w.scratch, nil, w.logits)
	part = slices.Grow(part[:0], rows)[:rows]
	clear(part[:first])
	for at := first; at < sees; at += block {
		n := min(block, sees-at)
		active.sumProbabilities(w.logits[(at-first)*block:], n, queries, ones, c.max[lo:], c.inverse[lo:], part[at:])
	}
	return part[:sees]
}

// causal is causal attention of some queries of one head.
type causal struct {
	q       []float32
	rule    Rule
	first   int
	queries int
	k, v    *Rows
	out     []float32

	max, inverse []float32 // [query] largest logit, and the inverse of the sum of exp(logit-max)
}

// newCausal is that of queries q [queries][k.Dim] over the rows k and v; what it is to fill is not set.
func newCausal(q []float32, rule Rule, first int, k, v *Rows) *causal {
	n := len(q) / k.Dim
	return &causal{q: q, rule: rule, first: first, queries: n, k: k, v: v, max: make([]float32, n), inverse: make([]float32, n)}
}

// tile returns the queries of the tile that starts at query lo, and how many rows the last of them sees.
func (c *causal) tile(lo int) (q []float32, queries, sees int) {
	queries = min(block, c.queries-lo)
	return c.q[lo*c.k.Dim : (lo+queries)*c.k.Dim], queries, c.seen(lo + queries)
}

// begin is the first row that any query of a tile reads, or one before it that starts a block.
func (c *causal) begin(lo int) int {
	return min(c.rule.First(c.first+lo), c.k.Len()) / block * block
}

// seen is how many rows the query before query s sees.
func (c *causal) seen(s int) int { return min(c.k.Len(), c.first+s) }

// attendTile runs the online softmax of a tile of queries over the rows that they see, from the tile's begin on. Where
// they are not nil, the Logits of record [query of the tile] receive those of the queries, and logits [blocks of
// rows][block queries][block] those of each block.
func (c *causal) attendTile(lo int, s *Scratch, record []Partial, logits []float32) {
	q, queries, sees := c.tile(lo)
	st, acc := s.begin(queries, c.v.Dim)
	first := c.begin(lo)
	for at := first; at < sees; at += block {
		n := min(block, sees-at)
		c.score(q, lo, queries, at, n, s)
		if logits != nil {
			copy(logits[(at-first)*block:], s.logits[:queries*block])
		}
		if record != nil {
			recordLogits(record, s.logits, n, s.ones, false)
		}
		active.onlineSoftmax(s.logits, n, s.ones[:n], active.rowScales(c.v, at, n, s.ones[:n], s.vScale), st)
		if c.out != nil {
			active.weightedSum(s.logits, c.v, at, n, s, acc, st.rescale)
		}
	}
	for h := range queries {
		c.finish(lo+h, h, st, acc[h*c.v.Dim:(h+1)*c.v.Dim])
	}
}

// finish writes what query s, the h-th of its tile, has read: nothing where its rule hides all rows.
func (c *causal) finish(s, h int, st softmaxState, acc []float32) {
	if c.rule.HasSink {
		st.join(h, float32(c.rule.Sink), acc)
	}
	sum := st.sum[h]
	if sum == 0 {
		sum = float32(math.Inf(1))
	}
	c.max[s], c.inverse[s] = st.max[h], 1/sum
	if c.out == nil {
		return
	}
	out := c.out[s*c.v.Dim : (s+1)*c.v.Dim]
	for d, x := range acc {
		out[d] = x / sum
	}
}

// score computes the logits of a tile of queries, the first of which is query lo, over n rows, and hides from each query
// what comes after it and what its rule does not let it read. They want no further factors: what is hidden must not be
// multiplied by the zero of a row of zeros.
func (c *causal) score(q []float32, lo, queries, at, n int, s *Scratch) {
	s.next, s.lines = c.k.at(at+n), s.lines[:0]
	active.score(q, c.k, at, n, s, s.logits, block)
	scale := active.rowScales(c.k, at, n, s.ones[:n], s.kScale)
	bends := c.rule.bends()
	for h := range queries {
		row, token := s.logits[h*block:h*block+n], c.first+lo+h
		s.scaleRow(row, scale)
		if bends {
			c.bend(row, at, token, s)
		}
		if after := token + 1 - at; after < n {
			setAll(row[max(0, after):], minusInf)
		}
	}
}

// bend makes logits of the scaled products of a query at a token with the keys from row at on.
func (c *causal) bend(row []float32, at, token int, s *Scratch) {
	away := s.away[:len(row)]
	if c.rule.Slope != 0 {
		for i := range away {
			away[i] = float32(at + i - token)
		}
	}
	c.rule.reshape(row, away, s)
	if hidden := c.rule.First(token) - at; hidden > 0 {
		setAll(row[:min(hidden, len(row))], minusInf)
	}
}
