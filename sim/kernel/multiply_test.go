package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestMultiply holds every path against sums in float64, for every width, with rows beyond a block, and wants
// the same bits whatever is computed beside an element.
func TestMultiply(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	draw := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return x
	}
	eachPath(t, func(t *testing.T) {
		for _, cols := range []int{1, 7, 15, 16, 17, 48, 64, 95, 288} {
			for _, rows := range []int{1, 2, block, block + 5} {
				for vectors := 1; vectors <= 7; vectors++ {
					x, m := draw(vectors*cols), draw(rows*cols)
					stride := rows + 3
					out := make([]float32, (vectors-1)*stride+rows)
					Multiply(x, m, cols, out, stride)
					for s := range vectors {
						for i := range rows {
							want, size := 0.0, 0.0
							for c := range cols {
								p := float64(x[s*cols+c]) * float64(m[i*cols+c])
								want, size = want+p, size+math.Abs(p)
							}
							got := out[s*stride+i]
							if math.Abs(float64(got)-want) > 1e-6*size {
								t.Fatalf("%d columns, vector %d of %d, row %d of %d: %g, want %g", cols, s, vectors, i, rows, got, want)
							}
							one := make([]float32, 1)
							Multiply(x[s*cols:(s+1)*cols], m[i*cols:(i+1)*cols], cols, one, 1)
							if one[0] != got {
								t.Fatalf("%d columns, vector %d of %d, row %d of %d: %g beside others, %g alone", cols, s, vectors, i, rows, got, one[0])
							}
						}
					}
				}
			}
		}
	})
}
