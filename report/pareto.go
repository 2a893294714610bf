package report

import (
	"cmp"
	"slices"
)

// pareto returns the points that no other point beats: none has less of both x and y, or less of one and
// the same of the other. They come by rising x and falling y; equal points once.
func pareto(points []point) []point {
	sorted := slices.SortedStableFunc(slices.Values(points), func(a, b point) int {
		return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.y, b.y))
	})
	var front []point
	for _, p := range sorted {
		if len(front) == 0 || p.y < front[len(front)-1].y {
			front = append(front, p)
		}
	}
	return front
}
