package kernel

import "slices"

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
	rows := (sees + block - 1) / block * block
	if len(w.logits) < rows*block {
		w.logits = make([]float32, rows*block)
	}
	c.attendTile(lo, w.scratch, nil, w.logits)
	part = slices.Grow(part[:0], rows)[:rows]
	s := w.scratch
	for at := 0; at < sees; at += block {
		n := min(block, sees-at)
		kScale := c.scales(at, n, s)
		active.sumProbabilities(w.logits[at*block:], n, queries, kScale, c.max[lo:], c.inverse[lo:], part[at:])
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

// scales are the factors of n rows that their logits still want: none where they are bent.
func (c *causal) scales(at, n int, s *Scratch) []float32 {
	if c.rule.bends() {
		return s.ones[:n]
	}
	return active.rowScales(c.k, at, n, s.ones[:n], s.kScale)
}

// tile returns the queries of the tile that starts at query lo, and how many rows the last of them sees.
func (c *causal) tile(lo int) (q []float32, queries, sees int) {
	queries = min(block, c.queries-lo)
	return c.q[lo*c.k.Dim : (lo+queries)*c.k.Dim], queries, c.seen(lo + queries)
}

// seen is how many rows the query before query s sees.
func (c *causal) seen(s int) int { return min(c.k.Len(), c.first+s) }

// attendTile runs the online softmax of a tile of queries over all rows that they see. Where they are not nil, the
// Logits of record [query of the tile] receive those of the queries, and logits [blocks of rows][block queries][block]
// those of each block, without the scales of the rows.
func (c *causal) attendTile(lo int, s *Scratch, record []Partial, logits []float32) {
	q, queries, sees := c.tile(lo)
	st, acc := s.begin(queries, c.v.Dim)
	for at := 0; at < sees; at += block {
		n := min(block, sees-at)
		c.score(q, lo, queries, at, n, s)
		kScale := c.scales(at, n, s)
		if logits != nil {
			copy(logits[at*block:], s.logits[:queries*block])
		}
		if record != nil {
			recordLogits(record, s.logits, n, kScale, &kScale[0] != &s.ones[0])
		}
		active.onlineSoftmax(s.logits, n, kScale, active.rowScales(c.v, at, n, s.ones[:n], s.vScale), st)
		if c.out != nil {
			active.weightedSum(s.logits, c.v, at, n, s, acc, st.rescale)
		}
	}
	for h := range queries {
		if c.rule.HasSink {
			st.join(h, float32(c.rule.Sink), acc[h*c.v.Dim:(h+1)*c.v.Dim])
		}
		c.max[lo+h], c.inverse[lo+h] = st.max[h], 1/st.sum[h]
		if c.out != nil {
			out := c.out[(lo+h)*c.v.Dim : (lo+h+1)*c.v.Dim]
			for d := range out {
				out[d] = acc[h*c.v.Dim+d] / st.sum[h]
			}
		}
	}
}

// score computes the logits of a tile of queries, the first of which is query lo, over n rows, and hides
// from each query what comes after it.
func (c *causal) score(q []float32, lo, queries, at, n int, s *Scratch) {
	s.next, s.lines = c.k.at(at+n), s.lines[:0]
	active.score(q, c.k, at, n, s, s.logits, block)
	if c.rule.bends() {
		scale := active.rowScales(c.k, at, n, s.ones[:n], s.kScale)
		for h := range queries {
			row := s.logits[h*block : h*block+n]
			if &scale[0] != &s.ones[0] {
				for i := range row {
					row[i] *= scale[i]
				}
			}
			c.rule.bend(row, nil, at, c.first+lo+h)
		}
	}
	for h := range queries {
		for i := max(0, c.first+lo+h+1-at); i < n; i++ {
			s.logits[h*block+i] = minusInf
		}
	}
}
