package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAttendSelected compares with float64 over the selected rows alone, and wants no allocation.
func TestAttendSelected(t *testing.T) {
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
				var selected []int32
				for _, i := range rng.Perm(n)[:count] {
					selected = append(selected, int32(i))
				}
				slices.Sort(selected)
				q := random(heads * dim)
				t.Run(fmt.Sprintf("%v/%d/latent=%v/%d", f, dim, latent, count), func(t *testing.T) {
					eachPath(t, func(t *testing.T) {
						out := make([]Partial, heads)
						for h := range out {
							out[h].Acc = make([]float32, v.Dim)
						}
						room := NewGathered(&k, &v, latent)
						if allocs := testing.AllocsPerRun(5, func() { AttendSelected(q, &k, &v, selected, room, scratch, out) }); allocs != 0 {
							t.Errorf("%g allocations", allocs)
						}
						for h := range out {
							want := attendExact(q[h*dim:(h+1)*dim], &k, &v, selected)
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

// attendExact is attention of one query over selected rows.
func attendExact(q []float32, k, v *Rows, selected []int32) []float64 {
	key, val := make([]float32, k.Dim), make([]float32, v.Dim)
	out := make([]float64, v.Dim)
	var sum float64
	for _, i := range selected {
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
