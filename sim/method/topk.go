package method

import (
	"cmp"
	"fmt"
	"slices"

	"kvgauge/sim/cache"
)

// topK returns the indices of the k highest scores, ascending. Equal scores: the lower index wins, where
// the published code uses an unordered top-k.
func topK(scores []float64, k int) []int32 {
	if k >= len(scores) {
		return span(0, len(scores))
	}
	order := span(0, len(scores))
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(scores[b], scores[a]), cmp.Compare(a, b))
	})
	order = order[:k]
	slices.Sort(order)
	return order
}

// span returns lo, lo+1, ... hi-1.
func span(lo, hi int) []int32 {
	s := make([]int32, 0, hi-lo)
	for i := lo; i < hi; i++ {
		s = append(s, int32(i))
	}
	return s
}

// aboveLength is the warning of a budget that everything fits in.
func aboveLength(budget, tokens int, what string) []cache.Warning {
	if budget <= tokens {
		return nil
	}
	return []cache.Warning{{
		Code: "budget-above-length",
		Text: fmt.Sprintf("budget of %d entries is above the %s's %d: everything is kept", budget, what, tokens),
	}}
}
