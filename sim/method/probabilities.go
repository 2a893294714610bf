package method

import (
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// promptProbabilities calls visit with what the queries of the last n prompt tokens give the rows of a stored head, in
// the order of the tokens: token is its number, from 1, and probs is [row]. They are those of the group query heads
// from first on, in every layer that shares the store, joined as kernel.CausalProbabilities says. Attention is causal and in
// float32, as in decode steps.
func promptProbabilities(v *cache.View, first, group, n int, join func(x, y []float32), visit func(token int, probs []float32)) {
	rows, dim := v.Rows(0), v.Dim
	keys := kernel.NewRows(kernel.F32, dim, rows)
	scaled, scale := make([]float32, dim), float32(v.Rules[0][first].Scale)
	for key := range slices.Chunk(v.K[first/v.Group()], dim) {
		for i, x := range key {
			scaled[i] = x * scale
		}
		keys.Append(scaled)
	}
	var q [][]float32
	var rules []kernel.Rule
	for l, layer := range v.Q {
		for h := first; h < first+group; h++ {
			queries := layer[h][len(layer[h])-n*dim:]
			if other := float32(v.Rules[l][h].Scale); other != scale {
				queries = scaledBy(queries, other/scale)
			}
			q, rules = append(q, queries), append(rules, v.Rules[l][h])
		}
	}
	kernel.CausalProbabilities(q, rules, rows-n, &keys, join, func(s int, probs []float32) { visit(rows-n+s+1, probs) })
}

// scaledBy is a copy of some rows, times a factor.
func scaledBy(rows []float32, factor float32) []float32 {
	scaled := make([]float32, len(rows))
	kernel.Axpy(factor, rows, scaled)
	return scaled
}

// lastSights are those of the last n prompt queries over the rows of a stored head.
func lastSights(v *cache.View, j, n int) []kernel.Sight {
	sights := make([]kernel.Sight, n)
	for s := range sights {
		sights[s] = kernel.Sight{Token: v.Tokens() - n + s, Rows: v.Rows(j) - n + s + 1}
	}
	return sights
}

// addProbabilities adds those of one more query head, x, to y.
func addProbabilities(x, y []float32) { kernel.Axpy(1, x, y) }

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
