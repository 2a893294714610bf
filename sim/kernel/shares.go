package kernel

import "slices"

// CausalProbabilities calls visit with what each query gives the rows of a stored head, in the order of the queries. Query s
// stands at position first+s and attends as in Causal; share, of the rows that it sees, is made of its
// probabilities in the query heads of q, [head][queries][k.Dim]: join brings those of one more head, x, into
// those of the heads before it, y, as Most or a sum does. The softmax scale is in q or in k already.
//
// share is visit's until it returns. Memory is for the shares of block queries, and as much again where there
// are several heads.
func CausalProbabilities(q [][]float32, first int, k *Rows, join func(x, y []float32), visit func(s int, share []float32)) {
	queries, stride := len(q[0])/k.Dim, (k.Len()+block-1)/block*block
	scratch := NewScratch(block, k.Dim)
	var room [2][]float32 // [block queries][stride] of the first head, and of the others
	for i := range min(2, len(q)) {
		room[i] = make([]float32, min(block, queries)*stride)
	}
	for lo := 0; lo < queries; lo += block {
		hi := min(lo+block, queries)
		var shares []Partial
		for h, x := range q {
			c := newCausal(x[lo*k.Dim:hi*k.Dim], first+lo, k, k)
			for row := range slices.Chunk(room[min(h, 1)][:(hi-lo)*stride], stride) {
				c.record = append(c.record, Partial{Logits: row[:0]})
			}
			c.softmax(scratch)
			if h == 0 {
				shares = c.record
				continue
			}
			for s, p := range c.record {
				join(p.Logits, shares[s].Logits)
			}
		}
		for s, p := range shares {
			visit(lo+s, p.Logits[:min(k.Len(), first+lo+s+1)])
		}
	}
}

// softmax makes the probabilities of a tile of queries of their record.
func (c *causal) softmax(s *Scratch) {
	c.rows(0, s)
	for h, p := range c.record {
		Probabilities(p.Logits, c.max[h:h+1], c.inverse[h:h+1])
	}
}
