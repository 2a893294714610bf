package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// TestScores compares the logits of a batch with float64 ones.
func TestScores(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for f := range formats {
			for _, c := range []struct{ queries, dim, lo, hi int }{{1, 1, 0, 1}, {7, 40, 3, 150}, {32, 128, 64, 200}, {64, 30, 1, 66}} {
				p := newProblem(f, fills["random"], c.queries, c.dim, 1, c.hi)
				stride := c.hi - c.lo + 3
				out := make([]float32, c.queries*stride)
				Scores(p.q, &p.k, c.lo, c.hi, NewScratch(c.queries, c.dim), out, stride)
				row := make([]float32, c.dim)
				for i := c.lo; i < c.hi; i++ {
					p.k.Row(i, row)
					for h := range c.queries {
						want := LogitExact(p.q[h*c.dim:(h+1)*c.dim], row, 1)
						if got := float64(out[h*stride+i-c.lo]); math.Abs(got-want) > 1e-4 {
							t.Fatalf("%s %v: query %d row %d: %g, want %g", f, c, h, i, got, want)
						}
					}
				}
			}
		}
	})
}

// TestCausal compares outputs and column sums with the whole matrix in float64.
func TestCausal(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	eachPath(t, func(t *testing.T) {
		for f := range formats {
			for _, c := range []struct{ first, queries, dim, beyond int }{{0, 1, 8, 0}, {0, 64, 8, 0}, {0, 130, 40, 0}, {5, 60, 16, 0}, {63, 65, 16, 0}, {100, 200, 32, 0}, {99, 200, 16, 199}, {70, 90, 16, 30}} {
				t.Run(fmt.Sprintf("%s/%+v", f, c), func(t *testing.T) {
					n := c.first + c.queries - c.beyond // the last so many queries stand beyond the rows
					p := newProblem(f, fills["random"], c.queries, c.dim, c.dim, n)
					out, sums := make([]float32, c.queries*c.dim), make([]float64, n)
					Causal(pool, p.q, Scaled(1), c.first, &p.k, &p.v, out, sums)
					again := make([]float64, n)
					Causal(nil, p.q, Scaled(1), c.first, &p.k, &p.v, nil, again)
					if !slices.Equal(sums, again) {
						t.Error("column sums depend on the number of threads or on the outputs")
					}
					checkCausal(t, p, c.first, out, sums)
				})
			}
		}
	})
}

func checkCausal(t *testing.T, p *problem, first int, out []float32, sums []float64) {
	t.Helper()
	dim, n := p.k.Dim, p.k.Len()
	k, v := make([]float32, n*dim), make([]float32, n*dim)
	for i := range n {
		p.k.Row(i, k[i*dim:])
		p.v.Row(i, v[i*dim:])
	}
	sees := Sights(first, len(p.q)/dim)
	for s := range sees {
		sees[s].Rows = min(n, sees[s].Rows)
	}
	logits, lse := LogitsExact(p.q, dim, Scaled(1), k, nil, sees)
	want := WeightedSumExact(logits, lse, dim, v)
	for i, x := range want {
		if math.Abs(float64(out[i])-x) > 1e-4 {
			t.Fatalf("query %d: output %g, want %g", i/dim, out[i], x)
		}
	}
	for i := range n {
		var sum float64
		for s := range sees {
			sum += math.Exp(logits[s*n+i] - lse[s])
		}
		if math.Abs(sums[i]-sum) > 1e-4*(1+sum) {
			t.Fatalf("row %d: sum of probabilities %g, want %g", i, sums[i], sum)
		}
	}
}

// TestCausalOfZeros: rows of zeros, whose scale is zero, must not make a hidden logit of theirs a number.
func TestCausalOfZeros(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for f := range formats {
			p := newProblem(f, fills["zero"], 70, 16, 16, 70)
			out, sums := make([]float32, 70*16), make([]float64, 70)
			Causal(nil, p.q, Scaled(1), 0, &p.k, &p.v, out, sums)
			checkCausal(t, p, 0, out, sums)
		}
	})
}
