package method

import (
	"cmp"
	"slices"

	"kvgauge/sim/cache"
)

// cakePolicy holds each head to share entries and a window. It keeps nothing between steps but memory.
type cakePolicy struct {
	share, window, kernel int
	order                 []int32   // entries by position
	scores, pooled        []float64 // in that order
}

var _ cache.Policy = (*cakePolicy)(nil)

// newCakePolicy makes one for heads of at most longest entries.
func newCakePolicy(share, window, kernel, longest int) *cakePolicy {
	return &cakePolicy{share, window, kernel, make([]int32, longest), make([]float64, longest), make([]float64, longest)}
}

// Watches says that probabilities are needed.
func (*cakePolicy) Watches() bool { return true }

// After drops what the last layer's query of this step attended to least.
func (p *cakePolicy) After(s *cache.Step) {
	if !s.Last {
		return
	}
	for j := range s.Heads {
		h := &s.Heads[j]
		if n := len(h.Pos); n > p.share+p.window {
			p.drop(h, n)
		}
	}
}

// drop names the entries of a head of n to drop.
func (p *cakePolicy) drop(h *cache.StepHead, n int) {
	order := p.order[:n]
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(h.Pos[a], h.Pos[b]) })
	order = order[:n-p.window]
	scores := p.scores[:len(order)]
	for i, at := range order {
		scores[i] = 0
		for _, probs := range h.Probs {
			scores[i] += float64(probs[at])
		}
	}
	half := p.kernel / 2
	for i := range scores {
		var sum float64
		for _, x := range scores[max(0, i-half):min(len(scores), i+half+1)] {
			sum += x
		}
		p.pooled[order[i]] = sum
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(p.pooled[a], p.pooled[b]), cmp.Compare(h.Pos[b], h.Pos[a]))
	})
	h.Evict = append(h.Evict, order[:len(order)-p.share]...)
	slices.Sort(h.Evict)
}
