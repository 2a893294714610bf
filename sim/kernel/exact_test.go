package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestExact holds the float64 forms of every path against their definition.
func TestExact(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, c := range []struct{ dim, n, queries int }{{7, 50, 3}, {1, 1, 1}, {16, 64, 4}, {48, 130, 7}, {128, 333, 9}, {33, 65, 2}} {
			t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) { testExact(t, c.dim, c.n, c.queries) })
		}
	})
}

func testExact(t *testing.T, dim, n, queries int) {
	r := rand.New(rand.NewPCG(3, 4))
	q, k, v := make([]float32, queries*dim), make([]float32, n*dim), make([]float32, n*dim)
	for _, x := range [][]float32{q, k, v} {
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
	}
	sees := make([]Sight, queries)
	for s := range sees {
		sees[s].Rows = 1 + (n-1)*(s+1)/queries
	}
	logits, lse := LogitsExact(q, dim, Scaled(0.4), k, nil, sees)
	out := WeightedSumExact(logits, lse, dim, v)
	for s := range sees {
		see := sees[s].Rows
		var sum float64
		want := make([]float64, dim)
		for i := range n {
			p := math.Exp(logits[s*n+i] - lse[s])
			sum += p
			if i >= see && p != 0 {
				t.Errorf("query %d sees key %d", s, i)
			}
			if l := LogitExact(q[s*dim:(s+1)*dim], k[i*dim:(i+1)*dim], 0.4); i < see && math.Abs(l-logits[s*n+i]) > 1e-12 {
				t.Errorf("logit %g, want %g", logits[s*n+i], l)
			}
			for c := range dim {
				want[c] += p * float64(v[i*dim+c])
			}
		}
		if math.Abs(sum-1) > 1e-12 {
			t.Errorf("query %d: probabilities sum to %g", s, sum)
		}
		for c := range dim {
			if math.Abs(out[s*dim+c]-want[c]) > 1e-12 {
				t.Errorf("query %d channel %d: %g, want %g", s, c, out[s*dim+c], want[c])
			}
		}
	}
}

// TestEqualKeysHaveEqualLogits wherever they stand: what ties by definition must not be told apart by rounding.
func TestEqualKeysHaveEqualLogits(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, dim := range []int{1, 16, 20, 128} {
			q, key := make([]float32, 3*dim), make([]float32, dim)
			for i := range q {
				q[i], key[i%dim] = float32(r.NormFloat64()), float32(r.NormFloat64())
			}
			for n := 1; n < 150; n += 7 {
				logits, _ := LogitsExact(q, dim, Scaled(0.3), slices.Repeat(key, n), nil, []Sight{{Rows: n}, {Rows: n}, {Rows: n}})
				for i, x := range logits {
					if x != logits[i/n*n] {
						t.Fatalf("%d keys of %d: key %d has logit %v, the first %v", n, dim, i%n, x, logits[i/n*n])
					}
				}
			}
		}
	})
}

// TestExps64 holds the exponential of every path to two units in the last place.
func TestExps64(t *testing.T) {
	var xs []float64
	for x := 0.0; x > -707; x -= 0.00937 {
		xs = append(xs, x)
	}
	xs = append(xs, 0, -1e-17, -708, -746, -1e300, math.Inf(-1))
	eachPath(t, func(t *testing.T) {
		got := make([]float64, len(xs))
		var want float64
		sum := active.exps64(got, xs, 0)
		for i, x := range xs {
			w := math.Exp(x)
			want += w
			if math.Abs(got[i]-w) > 2*0x1p-52*w && x > -708 || got[i] > 1e-307 && x < -708 {
				t.Fatalf("e^%g = %g, want %g", x, got[i], w)
			}
		}
		if math.Abs(sum-want) > 1e-12*want {
			t.Errorf("sum %g, want %g", sum, want)
		}
	})
}
