package kernel

import "slices"

// Probabilities replaces the logits of one query head by its softmax. largest and inverse, of one
// number each, are the largest logit and the inverse of the sum that Merge returned. The logits have room for
// whole steps of 16 beyond their length.
func Probabilities(logits, largest, inverse []float32) {
	n := len(logits)
	logits = logits[:(n+15)&^15]
	for lo := 0; lo < n; lo += block {
		part := logits[lo:]
		active.sumProbabilities(part, min(block, n-lo), 1, ones, largest, inverse, part)
	}
}

// CausalProbabilities calls visit with the attention probabilities of each query over the rows of a stored head, in the
// order of the queries. Query s stands at position first+s and attends as in Causal; probs, of the rows up to its own,
// are zero where the rule hides them. They are those of the query heads of q, [head][queries][k.Dim], with a rule each,
// joined: join brings those of one more head, x, into those of the heads before it, y, as Max or a sum does. The softmax
// scale is in q or in k already.
//
// probs are visit's until it returns. Memory is for the probabilities of block queries, and as much again where there
// are several heads.
func CausalProbabilities(q [][]float32, rules []Rule, first int, k *Rows, join func(x, y []float32), visit func(s int, probs []float32)) {
	queries, stride := len(q[0])/k.Dim, (k.Len()+block-1)/block*block
	scratch := NewScratch(block, k.Dim)
	var room [2][]float32 // [block queries][stride] of the first head, and of the others
	for i := range min(2, len(q)) {
		room[i] = make([]float32, min(block, queries)*stride)
	}
	for lo := 0; lo < queries; lo += block {
		hi := min(lo+block, queries)
		var joined []Partial
		for h, x := range q {
			c := newCausal(x[lo*k.Dim:hi*k.Dim], rules[h], first+lo, k, k)
			var record []Partial
			from := c.begin(0)
			for row := range slices.Chunk(room[min(h, 1)][:(hi-lo)*stride], stride) {
				clear(row[:from])
				record = append(record, Partial{Logits: row[:from]})
			}
			c.attendTile(0, scratch, record, nil)
			for s, p := range record {
				Probabilities(p.Logits[from:], c.max[s:s+1], c.inverse[s:s+1])
			}
			if h == 0 {
				joined = record
				continue
			}
			for s, p := range record {
				join(p.Logits, joined[s].Logits)
			}
		}
		for s, p := range joined {
			visit(lo+s, p.Logits[:min(k.Len(), first+lo+s+1)])
		}
	}
}
