package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// randomMatrix draws normal numbers.
func randomMatrix(r *rand.Rand, rows, cols int) Matrix64 {
	m := NewMatrix64(rows, cols)
	for i := range rows {
		for c := range cols {
			m.Row(i)[c] = r.NormFloat64()
		}
	}
	return m
}

// TestProduct holds every path against the definition, for shapes around the sides of tiles and blocks, in a part of
// a larger matrix whose other numbers must stay.
func TestProduct(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	eachPath(t, func(t *testing.T) {
		for _, s := range []struct{ m, n, k int }{
			{1, 1, 1}, {4, 4, 3}, {8, 24, 7}, {7, 23, 32}, {9, 25, 64}, {8, 240, 256}, {33, 241, 257}, {50, 300, 513}, {0, 3, 2}, {3, 2, 0},
		} {
			for _, upper := range []bool{false, true} {
				testProduct(t, r, s.m, s.n, s.k, upper)
			}
		}
	})
}

func testProduct(t *testing.T, r *rand.Rand, m, n, k int, upper bool) {
	t.Helper()
	a, b, whole := randomMatrix(r, k, m), randomMatrix(r, k, n), randomMatrix(r, m+2, n+2)
	was := NewMatrix64(m+2, n+2)
	copy(was.Data, whole.Data)
	out, p := whole.Part(1, m+1, 1, n+1), &Product{}
	if upper {
		p.AddUpper(out, -0.5, a, b)
	} else {
		p.Add(out, -0.5, a, b)
	}
	for i := range m + 2 {
		for j := range n + 2 {
			got, before := whole.Row(i)[j], was.Row(i)[j]
			want, size := before, math.Abs(before)
			if i > 0 && i <= m && j > 0 && j <= n {
				for l := range k {
					x := -0.5 * a.Row(l)[i-1] * b.Row(l)[j-1]
					want, size = want+x, size+math.Abs(x)
				}
			}
			left := upper && (j-1)/Strip < (i-1)/Strip && i <= m && j > 0 && j <= n // of the squares on the diagonal
			if math.Abs(got-want) > 1e-14*size && (!left || math.IsNaN(got)) {
				t.Fatalf("%d x %d of %d, upper %v: element %d, %d is %g, want %g", m, n, k, upper, i-1, j-1, got, want)
			}
		}
	}
}

// TestStrips holds the passes over rows of every path against the definition.
func TestStrips(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	eachPath(t, func(t *testing.T) {
		for _, n := range []int{8, 16, 40, 72, 264} {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				m, v := randomMatrix(r, n, n), randomMatrix(r, 4, n)
				x, start := v.Row(0), v.Row(1)
				dots, rows, forwards, backwards := v.Row(2), v.Row(3), make([]float64, n), make([]float64, n)
				for _, y := range [][]float64{dots, rows, forwards, backwards} {
					copy(y, start)
				}
				for i := range n { // the squares on the diagonal are whole, the rest of the lower triangle is not read
					for j := range i {
						if i/Strip == j/Strip {
							m.Row(i)[j] = m.Row(j)[i]
						}
					}
				}
				m.AddDots(x, dots)
				m.AddRows(x, rows)
				m.AddSymmetric(x, forwards, false)
				m.AddSymmetric(x, backwards, true)
				for i := range n {
					d, c, s := start[i], start[i], start[i]
					for j := range n {
						d += m.Row(i)[j] * x[j]
						c += m.Row(j)[i] * x[j]
						s += m.Row(min(i, j))[max(i, j)] * x[j]
					}
					if !near64(dots[i], d, n) || !near64(rows[i], c, n) || !near64(forwards[i], s, n) || !near64(backwards[i], s, n) {
						t.Fatalf("%d: %g %g %g %g, want %g %g %g", i, dots[i], rows[i], forwards[i], backwards[i], d, c, s)
					}
				}
			})
		}
	})
}

// near64 says whether a sum of n normal numbers is right but for rounding.
func near64(got, want float64, n int) bool { return math.Abs(got-want) <= 1e-15*float64(n) }

func TestTransposed(t *testing.T) {
	m := randomMatrix(rand.New(rand.NewPCG(5, 6)), 19, 11)
	tr := m.Transposed()
	for i := range m.Rows {
		for j := range m.Cols {
			if tr.Row(j)[i] != m.Row(i)[j] {
				t.Fatalf("element %d, %d", i, j)
			}
		}
	}
}

// TestMatricesAllocateNothing once their memory is made.
func TestMatricesAllocateNothing(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		a, out, p := randomMatrix(rand.New(rand.NewPCG(7, 8)), 40, 40), NewMatrix64(40, 40), &Product{}
		x, y := make([]float64, 40), make([]float64, 40)
		if n := testing.AllocsPerRun(5, func() {
			p.AddUpper(out, 2, a, a)
			a.AddDots(x, y)
			a.AddRows(x, y)
			a.AddSymmetric(x, y, false)
		}); n != 0 {
			t.Errorf("%g allocations", n)
		}
	})
}

func BenchmarkProduct(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range []struct{ m, n, k int }{{1024, 1024, 64}, {1024, 1024, 1024}, {64, 576, 2048}} {
		b.Run(fmt.Sprintf("%dx%dx%d", s.m, s.n, s.k), func(b *testing.B) {
			x, y, out, p := randomMatrix(r, s.k, s.m), randomMatrix(r, s.k, s.n), NewMatrix64(s.m, s.n), &Product{}
			for b.Loop() {
				p.Add(out, 1, x, y)
			}
			b.ReportMetric(2*float64(s.m*s.n*s.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPs")
		})
	}
}

func BenchmarkSymmetric(b *testing.B) {
	for _, n := range []int{512, 1024, 2048} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := randomMatrix(rand.New(rand.NewPCG(1, 2)), n, n)
			x, y := make([]float64, n), make([]float64, n)
			backwards := false
			for b.Loop() {
				m.AddSymmetric(x, y, backwards)
				backwards = !backwards
			}
			b.ReportMetric(float64(4*n*n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
		})
	}
}
