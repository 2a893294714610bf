package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// normals draws n standard normal values.
func normals(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// onSphere draws a vector of length 1.
func onSphere(r *rand.Rand, n int) []float32 {
	x := normals(r, n)
	scale := float32(1 / math.Sqrt(float64(active.dot(x, x))))
	for i := range x {
		x[i] *= scale
	}
	return x
}

// TestSketchEstimates draws directions and unit vectors many times. The estimate of a vector's product with itself must
// be right on average, where the codes alone are too small by their squared error. The variance of products with other
// vectors, times dim, must be what the TurboQuant paper prints for its inner products (D_prod), 0.18 for 3 bits and
// 0.047 for 4: pi/2 times the squared error of the codes of a bit less, of which the paper has truncated the second.
// That of TestCodebookError, 0.0340, makes 0.0534.
func TestSketchEstimates(t *testing.T) {
	const dim, draws, others = 128, 400, 16
	for bits, want := range map[int]float64{3: 0.18, 4: 0.0534} {
		r := rand.New(rand.NewPCG(uint64(bits), 1))
		row := make([]float32, dim)
		var mean, square, variance float64
		for range draws {
			x := onSphere(r, dim)
			stored := Blockwise(Sketched(bits, dim, r)).Rows(dim, 1)
			stored.Append(x)
			stored.Row(0, row)
			e := float64(active.dot(x, row)) - 1
			mean, square = mean+e/draws, square+e*e/draws
			for range others {
				y := onSphere(r, dim)
				e := float64(active.dot(y, row) - active.dot(y, x))
				variance += e * e / (draws * others)
			}
		}
		if most := 3.5 * math.Sqrt(square/draws); math.Abs(mean) > most {
			t.Errorf("%d bits: a product of 1 is estimated %.5f off on average, want at most %.5f", bits, mean, most)
		}
		if got := variance * dim; math.Abs(got-want) > 0.05*want {
			t.Errorf("%d bits: variance times dim %.4f, want %.4f", bits, got, want)
		}
	}
}

// TestAttendSketch compares every path with float64 attention over what the rows stand for, by queries without the
// products that a path reads signs with.
func TestAttendSketch(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, bits := range []int{3, 4} {
			for _, c := range []struct{ heads, dim, n int }{{1, 1, 3}, {2, 8, 66}, {3, 16, 64}, {4, 32, 65}, {3, 40, 130}, {9, 64, 200}, {1, 128, Chunk + 5}, {5, 256, 70}} {
				t.Run(fmt.Sprintf("%d/%dx%dx%d", bits, c.heads, c.dim, c.n), func(t *testing.T) {
					r := rand.New(rand.NewPCG(7, uint64(c.dim)))
					b := Sketched(bits, c.dim, r)
					plain := newProblem(F32, fills["random"], c.heads, c.dim, 24, c.n)
					read := &problem{q: make([]float32, 2*len(plain.q)), k: Blockwise(b).Rows(c.dim, c.n), v: plain.v}
					for i := range plain.q {
						plain.q[i] /= float32(math.Sqrt(float64(c.dim)))
					}
					copy(read.q, plain.q)
					b.Sketch.Queries(read.q)
					row := make([]float32, c.dim)
					for i := range c.n {
						if plain.k.Row(i, row); i%5 == 4 {
							clear(row)
						}
						if !read.k.Append(row) {
							t.Fatal("a finite row was reported as infinite")
						}
						read.k.Row(i, row)
						plain.k.Set(i, row)
					}
					out := read.attend(c.heads, NewScratch(c.heads, max(read.k.Dim, read.v.Dim)))
					for h := range c.heads {
						want, tol := plain.exact(h)
						for d, w := range want {
							if got := float64(out[h*24+d]); !(math.Abs(got-w) <= 20*tol) {
								t.Fatalf("head %d channel %d: %g, want %g within %g", h, d, got, w, 20*tol)
							}
						}
					}
				})
			}
		}
	})
}

// TestSketchAllocatesNothing covers encoding, queries and attention.
func TestSketchAllocatesNothing(t *testing.T) {
	const dim, heads = 64, 3
	eachPath(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		b := Sketched(4, dim, r)
		k, v := Blockwise(b).Rows(dim, 100), NewRows(F16, dim, 100)
		row, q := normals(r, dim), make([]float32, heads*2*dim)
		for range 100 {
			k.Append(row)
			v.Append(row)
		}
		s, out := NewScratch(heads, 2*dim), make([]Partial, heads)
		for h := range out {
			out[h].Acc = make([]float32, dim)
		}
		if allocs := testing.AllocsPerRun(20, func() {
			b.Sketch.Queries(q)
			k.Set(5, row)
			Attend(q, &k, &v, 0, 100, nil, s, out)
		}); allocs != 0 {
			t.Errorf("%g allocations", allocs)
		}
	})
}

// TestSketchOfNoNumber: a row that cannot be held is reported.
func TestSketchOfNoNumber(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), 1e6} {
		rows, row := Blockwise(Sketched(4, 16, r)).Rows(16, 1), normals(r, 16)
		row[3] = bad
		if rows.Append(row) {
			t.Errorf("%g was taken", bad)
		}
	}
}
