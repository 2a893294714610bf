package method

import (
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// promptShares calls visit with what the queries of the last n prompt tokens give the rows of a stored head, in the
// order of the tokens: token is its number, from 1, and share is [token]. A share is made of the probabilities in
// the group query heads from first on, in every layer that shares the store, joined as kernel.CausalProbabilities says. Attention
// is causal and in float32, as in decode steps.
func promptShares(v *cache.View, first, group, n int, join func(x, y []float32), visit func(token int, share []float32)) {
	rows, dim := v.Rows(0), v.Dim
	keys := kernel.NewRows(kernel.F32, dim, rows)
	scaled := make([]float32, dim)
	for key := range slices.Chunk(v.K[first/v.Group()], dim) {
		for i, x := range key {
			scaled[i] = x * float32(v.Scale)
		}
		keys.Append(scaled)
	}
	var q [][]float32
	for _, layer := range v.Q {
		for _, queries := range layer[first : first+group] {
			q = append(q, queries[len(queries)-n*dim:])
		}
	}
	kernel.CausalProbabilities(q, rows-n, &keys, join, func(s int, share []float32) { visit(rows-n+s+1, share) })
}

// addShares adds the probabilities x of one more query head to the shares y.
func addShares(x, y []float32) { kernel.Axpy(1, x, y) }
