package method

import (
	"math"
	"slices"
)

// topK returns the indices of the k highest scores, ascending. Equal scores: the lower index wins, where
// the published code uses an unordered top-k. What is not a number counts as the lowest.
func topK(scores []float64, k int) []int32 {
	scores = slices.Clone(scores)
	for i, x := range scores {
		if math.IsNaN(x) {
			scores[i] = math.Inf(-1)
		}
	}
	return appendTopK(scores, k, make([]float64, len(scores)), make([]int32, 0, min(k, len(scores))))
}

// span returns lo, lo+1, ... hi-1.
func span(lo, hi int) []int32 {
	s := make([]int32, 0, hi-lo)
	for i := lo; i < hi; i++ {
		s = append(s, int32(i))
	}
	return s
}

// appendTopK appends to dst, ascending, the indices of the k highest scores; of equal ones the lower index wins. room
// is scratch memory of at least as many numbers. It allocates nothing where dst has room.
func appendTopK[F float32 | float64](scores []F, k int, room []F, dst []int32) []int32 {
	if k >= len(scores) {
		for i := range scores {
			dst = append(dst, int32(i))
		}
		return dst
	}
	if k == 0 {
		return dst
	}
	room = room[:len(scores)]
	copy(room, scores)
	least := kthHighest(room, k)
	ties := k
	for _, x := range scores {
		if x > least {
			ties--
		}
	}
	for i, x := range scores {
		if x > least {
			dst = append(dst, int32(i))
		} else if x == least && ties > 0 {
			dst = append(dst, int32(i))
			ties--
		}
	}
	return dst
}

// kthHighest returns the k-th highest of xs, k from 1, and reorders them (Hoare 1961, with three-way partitions:
// scores are often equal).
func kthHighest[F float32 | float64](xs []F, k int) F {
	for {
		a, b, c := xs[0], xs[len(xs)/2], xs[len(xs)-1]
		pivot := max(min(a, b), min(max(a, b), c))
		above, below := 0, len(xs)
		for i := 0; i < below; {
			switch x := xs[i]; {
			case x > pivot:
				xs[i], xs[above] = xs[above], x
				above++
				i++
			case x < pivot:
				below--
				xs[i], xs[below] = xs[below], x
			default:
				i++
			}
		}
		switch {
		case k <= above:
			xs = xs[:above]
		case k <= below:
			return pivot
		default:
			xs, k = xs[below:], k-below
		}
	}
}
