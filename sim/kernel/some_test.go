package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAttendSome compares with float64 over the picked rows alone, and wants no allocation.
func TestAttendSome(t *testing.T) {
	const heads, n = 3, 300
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		return x
	}
	for f := range formats {
		for _, c := range []struct {
			dim    int
			latent bool
		}{{40, false}, {40, true}, {128, false}} {
			dim, latent := c.dim, c.latent
			scratch := NewScratch(heads, dim)
			k, v := NewRows(f, dim, n), NewRows(f, dim, n)
			for range n {
				k.Append(random(dim))
				v.Append(random(dim))
			}
			if latent {
				v.PrefixOf(&k, 32)
			}
			for _, count := range []int{1, 16, 64, 65, 300} {
				var picked []int32
				for _, i := range rng.Perm(n)[:count] {
					picked = append(picked, int32(i))
				}
				slices.Sort(picked)
				q := random(heads * dim)
				t.Run(fmt.Sprintf("%v/%d/latent=%v/%d", f, dim, latent, count), func(t *testing.T) {
					eachPath(t, func(t *testing.T) {
						out := make([]Partial, heads)
						for h := range out {
							out[h].Acc = make([]float32, v.Dim)
						}
						room := NewGathered(&k, &v, latent)
						if allocs := testing.AllocsPerRun(5, func() { AttendSelected(q, &k, &v, picked, room, scratch, out) }); allocs != 0 {
							t.Errorf("%g allocations", allocs)
						}
						for h := range out {
							want := attendExact(q[h*dim:(h+1)*dim], &k, &v, picked)
							for d := range want {
								if got := float64(out[h].Acc[d] / out[h].Sum); math.Abs(got-want[d]) > 1e-4 {
									t.Fatalf("head %d channel %d: %g, want %g", h, d, got, want[d])
								}
							}
						}
					})
				})
			}
		}
	}
}

// attendExact is attention of one query over some rows.
func attendExact(q []float32, k, v *Rows, picked []int32) []float64 {
	key, val := make([]float32, k.Dim), make([]float32, v.Dim)
	out := make([]float64, v.Dim)
	var sum float64
	for _, i := range picked {
		k.Row(int(i), key)
		v.Row(int(i), val)
		e := math.Exp(LogitExact(q, key, 1))
		sum += e
		for d := range out {
			out[d] += e * float64(val[d])
		}
	}
	for d := range out {
		out[d] /= sum
	}
	return out
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

func TestMost(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 33, 100} {
		eachPath(t, func(t *testing.T) {
			x, y := make([]float32, n), make([]float32, n)
			for i := range x {
				x[i], y[i] = float32(i%7)-3, float32(i%5)-2
			}
			Max(x, y)
			for i, got := range y {
				if want := max(float32(i%7)-3, float32(i%5)-2); got != want {
					t.Fatalf("%d of %d: %g, want %g", i, n, got, want)
				}
			}
		})
	}
}
