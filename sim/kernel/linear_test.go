package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestLinear holds every path, format and number of threads against float64, over sizes that fill tiles, depths and panels and
// that do not, and what is added to outside of the result against its neighbours.
func TestLinear(t *testing.T) {
	pools := []*Pool{nil, NewPool(3)}
	defer pools[1].Close()
	eachPath(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, format := range []Format{F32, F16, BF16} {
			for _, size := range [][3]int{{1, 5, 3}, {3, 64, 100}, {8, 1, 48}, {9, 40, 97}, {24, 513, 49}, {300, 20, 7}, {17, 1040, 200}} {
				rows, inputs, outputs := size[0], size[1], size[2]
				name := fmt.Sprintf("%v %v", format, size)
				stride, outStride := inputs+3, outputs+5
				x := normals(r, rows*stride)
				var terms [2][2]Term // [pool][term]
				w := [2]Rows{NewRows(format, inputs, outputs), NewRows(format, inputs, 3)}
				for m, n := range []int{outputs, 3} {
					for range n {
						w[m].Append(normals(r, inputs))
					}
					first := normals(r, rows*outStride)
					for p := range pools {
						terms[p][m] = Term{W: &w[m], Out: append([]float32{}, first...), Stride: outStride}
					}
					for p, pool := range pools {
						if m == 0 {
							continue
						}
						before := [2][]float32{append([]float32{}, terms[p][0].Out...), append([]float32{}, terms[p][1].Out...)}
						NewLinear(pool).Add(x, rows, stride, terms[p][:]...)
						for m := range terms[p] {
							checkTerm(t, name, x, rows, stride, terms[p][m], before[m])
						}
					}
				}
				for m := range terms[0] {
					for i, a := range terms[0][m].Out {
						if b := terms[1][m].Out[i]; a != b {
							t.Fatalf("%s: %g with one thread, %g with three", name, a, b)
						}
					}
				}
			}
		}
	})
}

// checkTerm checks what was added, in float64.
func checkTerm(t *testing.T, name string, x []float32, rows, stride int, term Term, before []float32) {
	t.Helper()
	row := make([]float32, term.W.Dim)
	for i := range rows {
		for o := range term.Stride {
			want, size := float64(before[i*term.Stride+o]), 1.0
			if o < term.W.Len() {
				term.W.Row(o, row)
				for d, a := range row {
					p := float64(a) * float64(x[i*stride+d])
					want, size = want+p, size+math.Abs(p)
				}
			}
			if got := float64(term.Out[i*term.Stride+o]); math.Abs(got-want) > 1e-6*size {
				t.Fatalf("%s: row %d, output %d: %g, want %g", name, i, o, got, want)
			}
		}
	}
}

// TestSigmoid covers every length, and values whose exponentials overflow.
func TestSigmoid(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for n := range 67 {
			x, got := normals(r, n), make([]float32, n)
			for i := range x {
				x[i] *= float32([]float64{1, 10, 100, 1e30}[i%4])
			}
			Sigmoid(got, x)
			for i, v := range x {
				want := 1 / (1 + math.Exp(-float64(v)))
				if math.Abs(float64(got[i])-want) > 4e-7*want+1e-37 {
					t.Fatalf("sigmoid(%g) = %g, want %g", v, got[i], want)
				}
			}
		}
	})
}

// BenchmarkLinear is a matrix of a small model, for a block of tokens and for one.
func BenchmarkLinear(b *testing.B) {
	const inputs, outputs = 576, 1536
	for _, rows := range []int{1, 1024} {
		for _, format := range []Format{F32, F16, BF16} {
			for _, threads := range []int{1, 2} {
				b.Run(fmt.Sprintf("rows=%d/%v/threads=%d", rows, format, threads), func(b *testing.B) {
					pool := NewPool(threads)
					defer pool.Close()
					r := rand.New(rand.NewPCG(1, 2))
					w := NewRows(format, inputs, outputs)
					for range outputs {
						w.Append(normals(r, inputs))
					}
					x, out, l := normals(r, rows*inputs), make([]float32, rows*outputs), NewLinear(pool)
					for b.Loop() {
						l.Add(x, rows, inputs, Term{W: &w, Out: out, Stride: outputs})
					}
					b.ReportMetric(2*float64(rows)*inputs*outputs*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
				})
			}
		}
	}
}
