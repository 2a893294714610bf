package method

import (
	"fmt"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// columnSums returns the attention that each prompt row got from all prompt queries together, [query
// head][rows], as the mean over the layers that share the store. With ahead queries before the last ahead ones
// see the whole prompt, as if it were not causal; 0 is causal attention.
func columnSums(c Cell, v *cache.View, ahead int) [][]float64 {
	n := v.Rows(0)
	keys := make([]kernel.Rows, v.Heads())
	for j := range keys {
		keys[j] = kernel.NewRows(kernel.F32, v.Dim, n)
		for i := range n {
			keys[j].Append(v.K[j][i*v.Dim : (i+1)*v.Dim])
		}
	}
	sums := make([][]float64, v.QHeads())
	q := make([]float32, n*v.Dim)
	for h := range sums {
		sums[h] = make([]float64, n)
		k := &keys[h/v.Group()]
		for _, layer := range v.Q {
			for i, x := range layer[h] {
				q[i] = x * float32(v.Scale)
			}
			first := 0
			if ahead > 0 {
				first = n - ahead
				kernel.Causal(c.Pool, q[:first*v.Dim], n-1, k, k, nil, sums[h])
			}
			kernel.Causal(c.Pool, q[first*v.Dim:], first, k, k, nil, sums[h])
		}
		for i := range sums[h] {
			sums[h][i] /= float64(len(v.Q))
		}
	}
	return sums
}

// needsAllQueries refuses a trace that lacks queries of the prompt.
func needsAllQueries(c Cell) error {
	if c.FirstQuery > 0 {
		return fmt.Errorf("needs the queries of the whole prompt; the trace holds those from token %d on", c.FirstQuery)
	}
	return nil
}
