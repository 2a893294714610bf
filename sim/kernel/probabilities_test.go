package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestCausalProbabilities compares the joined probabilities of every query with the whole matrix in float64.
func TestCausalProbabilities(t *testing.T) {
	joins := map[string]struct {
		join  func(x, y []float32)
		exact func(x, y float64) float64
	}{
		"max": {Max, func(x, y float64) float64 { return max(x, y) }},
		"sum": {func(x, y []float32) { Axpy(1, x, y) }, func(x, y float64) float64 { return x + y }},
	}
	eachPath(t, func(t *testing.T) {
		for f := range formats {
			for _, c := range []struct{ heads, first, queries, dim, beyond int }{
				{1, 0, 1, 8, 0}, {2, 0, 64, 8, 0}, {1, 0, 130, 40, 0}, {3, 5, 60, 16, 0}, {4, 63, 65, 16, 0}, {2, 100, 200, 32, 0}, {3, 99, 200, 20, 199}, {2, 70, 90, 16, 30},
			} {
				for name, j := range joins {
					t.Run(fmt.Sprintf("%s/%s/%+v", f, name, c), func(t *testing.T) {
						n := c.first + c.queries - c.beyond // the last so many queries stand beyond the rows
						p := newProblem(f, fills["random"], c.heads*c.queries, c.dim, c.dim, n)
						want, sees := exactProbabilities(p, c.heads, c.first, j.exact)
						next := 0
						CausalProbabilities(slices.Collect(slices.Chunk(p.q, c.queries*c.dim)), make([]Rule, c.heads), c.first, &p.k, j.join, func(s int, probs []float32) {
							if s != next || len(probs) != sees[s] {
								t.Fatalf("query %d with %d rows, want %d with %d", s, len(probs), next, sees[next])
							}
							next++
							for i, x := range probs {
								if w := want[s*n+i]; math.Abs(float64(x)-w) > 1e-4*w {
									t.Fatalf("query %d row %d: %g, want %g", s, i, x, w)
								}
							}
						})
						if next != c.queries {
							t.Errorf("%d queries, want %d", next, c.queries)
						}
					})
				}
			}
		}
	})
}

// exactProbabilities returns the joined probabilities of all queries, [queries][rows], in float64, and how many rows
// each query sees.
func exactProbabilities(p *problem, heads, first int, join func(x, y float64) float64) (joined []float64, sees []int) {
	dim, n := p.k.Dim, p.k.Len()
	k := make([]float32, n*dim)
	for i := range n {
		p.k.Row(i, k[i*dim:(i+1)*dim])
	}
	for s := range len(p.q) / dim / heads {
		sees = append(sees, min(n, first+s+1))
	}
	sights := make([]Sight, len(sees))
	for s, n := range sees {
		sights[s] = Sight{first + s, n}
	}
	for q := range slices.Chunk(p.q, len(p.q)/heads) {
		logits, lse := LogitsExact(q, dim, Scaled(1), k, nil, sights)
		for i := range logits {
			logits[i] = math.Exp(logits[i] - lse[i/n])
		}
		if joined == nil {
			joined = logits
			continue
		}
		for i, x := range logits {
			joined[i] = join(x, joined[i])
		}
	}
	return joined, sees
}

// TestSharesOfEqualKeys are equal wherever the keys stand, and 1/t within a few roundings.
func TestProbabilitiesOfEqualKeys(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, c := range []struct{ dim, first, queries int }{{1, 0, 150}, {16, 3, 70}, {20, 0, 200}, {128, 5000, 90}} {
			q, key := make([]float32, c.queries*c.dim), make([]float32, c.dim)
			for _, xs := range [][]float32{q, key} {
				for i := range xs {
					xs[i] = float32(r.NormFloat64())
				}
			}
			k := NewRows(F32, c.dim, c.first+c.queries)
			for range c.first + c.queries {
				k.Append(key)
			}
			CausalProbabilities([][]float32{q}, make([]Rule, 1), c.first, &k, Max, func(s int, probs []float32) {
				want := 1 / float64(c.first+s+1)
				for i, x := range probs {
					if x != probs[0] || math.Abs(float64(x)-want) > 3e-7*want {
						t.Fatalf("%+v: query %d gives row %d %g and the first %g, want %g", c, s, i, x, probs[0], want)
					}
				}
			})
		}
	})
}

func TestProbabilities(t *testing.T) {
	for _, n := range []int{1, 15, 16, 64, 65, 200} {
		eachPath(t, func(t *testing.T) {
			logits := make([]float32, n, n+16)
			var sum float64
			for i := range logits {
				logits[i] = float32(-i) / 7
				sum += math.Exp(float64(logits[i]) - 1)
			}
			want := slices.Clone(logits)
			Probabilities(logits, []float32{1}, []float32{float32(1 / sum)})
			for i, x := range want {
				if w := math.Exp(float64(x)-1) / sum; math.Abs(float64(logits[i])-w) > 3e-6*w {
					t.Fatalf("%d of %d: %g, want %g", i, n, logits[i], w)
				}
			}
		})
	}
}
