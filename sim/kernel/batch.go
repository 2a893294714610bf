package kernel

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
// stands at position first+s and sees the rows up to that; one that stands beyond the last row sees them all.
// q is [queries][k.Dim] and carries the softmax scale already.
//
// Where out is not nil it receives the attention outputs, [queries][v.Dim]. Where sums is not nil the
// probabilities of each row, summed over the queries, are added to it, [rows]: two passes, since a
// probability is known only after its query's maximum and sum are. Work is cut into tiles of block queries
// by block rows; results do not depend on the number of threads.
func Causal(pool *Pool, q []float32, first int, k, v *Rows, out []float32, sums []float64) {
	c := newCausal(q, first, k, v)
	c.out, c.sums = out, sums
	for range pool.Threads() {
		c.scratch = append(c.scratch, NewScratch(block, max(k.Dim, v.Dim)))
	}
	tiles := (c.queries + block - 1) / block
	pool.Run(tiles, func(worker, i int) { c.attendTile((tiles-1-i)*block, c.scratch[worker]) }) // the longest first
	if sums != nil {
		pool.Run((c.seen(c.queries)+block-1)/block, func(worker, i int) { c.sumProbabilities(i*block, c.scratch[worker]) })
	}
}

// causal is causal attention of some queries of one head.
type causal struct {
	q       []float32
	first   int
	queries int
	k, v    *Rows
	out     []float32
	sums    []float64
	record  []Partial  // [query] where not nil, their Logits receive those of the query
	scratch []*Scratch // [worker]

	max, inverse []float32 // [query] largest logit, and the inverse of the sum of exp(logit-max)
}

// newCausal is that of queries q [queries][k.Dim] over the rows k and v; what it is to fill is not set.
func newCausal(q []float32, first int, k, v *Rows) *causal {
	n := len(q) / k.Dim
	return &causal{q: q, first: first, queries: n, k: k, v: v, max: make([]float32, n), inverse: make([]float32, n)}
}

// tile returns the queries of the tile that starts at query lo, and how many rows the last of them sees.
func (c *causal) tile(lo int) (q []float32, queries, sees int) {
	queries = min(block, c.queries-lo)
	return c.q[lo*c.k.Dim : (lo+queries)*c.k.Dim], queries, c.seen(lo + queries)
}

// seen is how many rows the query before query s sees.
func (c *causal) seen(s int) int { return min(c.k.Len(), c.first+s) }

// attendTile runs the online softmax of a tile of queries over all rows that they see.
func (c *causal) attendTile(lo int, s *Scratch) {
	q, queries, sees := c.tile(lo)
	st, acc := s.begin(queries, c.v.Dim)
	for at := 0; at < sees; at += block {
		n := min(block, sees-at)
		c.score(q, lo, queries, at, n, s)
		kScale := active.rowScales(c.k, at, n, s.ones[:n], s.kScale)
		if c.record != nil {
			recordLogits(c.record[lo:lo+queries], s.logits, n, kScale, &kScale[0] != &s.ones[0])
		}
		active.onlineSoftmax(s.logits, n, kScale, active.rowScales(c.v, at, n, s.ones[:n], s.vScale), st)
		if c.out != nil {
			active.weightedSum(s.logits, c.v, at, n, s, acc, st.rescale)
		}
	}
	for h := range queries {
		c.max[lo+h], c.inverse[lo+h] = st.max[h], 1/st.sum[h]
		if c.out != nil {
			out := c.out[(lo+h)*c.v.Dim : (lo+h+1)*c.v.Dim]
			for d := range out {
				out[d] = acc[h*c.v.Dim+d] / st.sum[h]
			}
		}
	}
}

// sumProbabilities sums the probabilities of a block of rows over all queries that see them.
func (c *causal) sumProbabilities(at int, s *Scratch) {
	n := min(block, c.seen(c.queries)-at)
	part := s.vScale
	for lo := max(0, at-c.first) / block * block; lo < c.queries; lo += block {
		q, queries, sees := c.tile(lo)
		rows := min(n, sees-at)
		c.score(q, lo, queries, at, rows, s)
		kScale := active.rowScales(c.k, at, rows, s.ones[:rows], s.kScale)
		active.sumProbabilities(s.logits, rows, queries, kScale, c.max[lo:], c.inverse[lo:], part)
		for i := range rows {
			c.sums[at+i] += float64(part[i])
		}
	}
}

// score computes the logits of a tile of queries, the first of which is query lo, over n rows, and hides
// from each query what comes after it.
func (c *causal) score(q []float32, lo, queries, at, n int, s *Scratch) {
	s.next, s.lines = c.k.at(at+n), s.lines[:0]
	active.score(q, c.k, at, n, s, s.logits, block)
	for h := range queries {
		for i := max(0, c.first+lo+h+1-at); i < n; i++ {
			s.logits[h*block+i] = minusInf
		}
	}
}
