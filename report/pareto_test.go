package report

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// beats says whether a is at least as good as b in both and better in one.
func beats(a, b point) bool {
	return a.x <= b.x && a.y <= b.y && (a.x < b.x || a.y < b.y)
}

// TestParetoProperties holds the front to its definition, on a grid small enough for ties.
func TestParetoProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		coordinate := rapid.IntRange(0, 6)
		points := rapid.SliceOf(rapid.Custom(func(t *rapid.T) point {
			return point{x: float64(coordinate.Draw(t, "x")), y: float64(coordinate.Draw(t, "y"))}
		})).Draw(t, "points")
		front := pareto(slices.Clone(points))
		for i, p := range front {
			if i > 0 && !(front[i-1].x < p.x && front[i-1].y > p.y) {
				t.Fatalf("%v does not fall and rise", front)
			}
		}
		same := func(p point) func(point) bool {
			return func(q point) bool { return p.x == q.x && p.y == q.y }
		}
		for _, p := range points {
			beaten := slices.ContainsFunc(points, func(q point) bool { return beats(q, p) })
			if on := slices.ContainsFunc(front, same(p)); on == beaten {
				t.Fatalf("%v: on the front %v, beaten %v", p, on, beaten)
			}
		}
		for _, p := range front {
			if !slices.ContainsFunc(points, same(p)) {
				t.Fatalf("%v is none of the points", p)
			}
		}
	})
}
