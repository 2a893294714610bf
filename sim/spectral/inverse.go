package spectral

import (
	"math"
	"math/rand/v2"

	"kvgauge/sim/kernel"
)

const (
	// epsilon is the rounding of float64.
	epsilon = 0x1p-52

	// near is how close eigenvalues may be, in norms of the matrix, before their vectors are made orthogonal one by one.
	// Vectors of inverse iteration are orthogonal to epsilon over the distance, here 1e-6, which a product of
	// matrices mends.
	near = 1e-9

	// rounds bounds the iterations of a vector: one is enough but for an unlucky start, a second one cleans up.
	rounds = 6
)

// inverseIteration returns the eigenvectors of T for its largest eigenvalues, which are given, as rows [k][n], of unit
// length and nearly orthogonal. As LAPACK's dstein, but that most vectors are not orthogonalised here.
func (t *tridiagonal) inverseIteration(values []float64) kernel.Matrix64 {
	n := len(t.diagonal)
	whole := kernel.NewMatrix64(strips(len(values)), strips(n))
	size := 0.0
	for i, x := range t.diagonal {
		size = max(size, math.Abs(x))
		if i+1 < n {
			size = max(size, math.Abs(t.beside[i]))
		}
	}
	if size == 0 {
		size = 1
	}
	f := newFactors(n, epsilon*size)
	r := rand.New(rand.NewPCG(1, 2))
	first := 0 // vector of the cluster
	sums := make([]float64, whole.Rows)
	for j, value := range values {
		if j > 0 && values[j-1]-value > near*size {
			first = j
		}
		f.factorise(t, value)
		x := whole.Row(j)[:n]
		start(x, r)
		for round := range rounds {
			f.solve(x)
			grown := norm(x) // 1 over the residual
			scale(x, 1/grown)
			for left := 0.0; first < j && left < 0.5; { // again, where little was left; anew, where nothing was
				project(whole, first, j, sums)
				if left = norm(x); left > 0 {
					scale(x, 1/left)
				} else {
					start(x, r)
				}
			}
			if round > 0 && grown*epsilon*size*math.Sqrt(float64(n)) >= 0.1 {
				break
			}
		}
	}
	return whole.Part(0, len(values), 0, n)
}

// start draws a vector of unit length.
func start(x []float64, r *rand.Rand) {
	for i := range x {
		x[i] = 2*r.Float64() - 1
	}
	scale(x, 1/norm(x))
}

// project takes from row j what rows first to j hold of it.
func project(m kernel.Matrix64, first, j int, sums []float64) {
	x, top, bottom := m.Row(j), first&^(kernel.Strip-1), strips(j)
	rows := m.Part(top, bottom, 0, m.Cols)
	sums = sums[:bottom-top]
	clear(sums)
	rows.AddDots(x, sums)
	for i := range sums {
		sums[i] = -sums[i]
		if top+i < first || top+i >= j {
			sums[i] = 0
		}
	}
	rows.AddRows(sums, x)
}

func scale(x []float64, by float64) {
	for i := range x {
		x[i] *= by
	}
}

// factors are L and U of T less a shift, with row exchanges (LAPACK's dgttrf).
type factors struct {
	lower, inverse, upper, second []float64 // inverse: of the diagonal of U, which has two more above it
	exchanged                     []bool
	least                         float64 // what a smaller pivot is taken for
}

func newFactors(n int, least float64) *factors {
	room := func() []float64 { return make([]float64, n+2) }
	return &factors{room(), room(), room(), room(), make([]bool, n), least}
}

func (f *factors) factorise(t *tridiagonal, shift float64) {
	n := len(t.diagonal)
	pivot, above := t.diagonal[0]-shift, 0.0 // of the row that is eliminated: its diagonal and what is right of it
	if n > 1 {
		above = t.beside[0]
	}
	for i := range n - 1 {
		below, next, right := t.beside[i], t.diagonal[i+1]-shift, 0.0
		if i+2 < n {
			right = t.beside[i+1]
		}
		if f.exchanged[i] = math.Abs(pivot) < math.Abs(below); f.exchanged[i] {
			by := pivot / below
			f.lower[i], f.upper[i], f.second[i] = by, next, right
			f.setPivot(i, below)
			pivot, above = above-by*next, -by*right
			continue
		}
		f.setPivot(i, pivot)
		by := below * f.inverse[i]
		f.lower[i], f.upper[i], f.second[i] = by, above, 0
		pivot, above = next-by*above, right
	}
	f.setPivot(n-1, pivot)
	f.upper[n-1], f.second[n-1] = 0, 0
	if n > 1 {
		f.second[n-2] = 0
	}
}

// setPivot notes the inverse of a pivot, or of the least one.
func (f *factors) setPivot(i int, pivot float64) {
	if math.Abs(pivot) < f.least {
		pivot = math.Copysign(f.least, pivot)
	}
	f.inverse[i] = 1 / pivot
}

// solve overwrites x with the solution.
func (f *factors) solve(x []float64) {
	n := len(x)
	for i := range n - 1 {
		if f.exchanged[i] {
			x[i], x[i+1] = x[i+1], x[i]
		}
		x[i+1] -= f.lower[i] * x[i]
	}
	var one, two float64 // the solution right of i
	for i := n - 1; i >= 0; i-- {
		x[i], one, two = (x[i]-f.upper[i]*one-f.second[i]*two)*f.inverse[i], 0, one
		one = x[i]
	}
}

// orthonormal returns vectors that are nearly so, the rows of x, as the columns of a matrix that are so to rounding:
// X^T (I + E)^-1/2, where I + E is their Gram matrix, by its series up to the square of E.
func orthonormal(x kernel.Matrix64) kernel.Matrix64 {
	k := x.Rows
	columns := x.Transposed()
	var product kernel.Product
	off, by := kernel.NewMatrix64(k, k), kernel.NewMatrix64(k, k)
	product.Add(off, 1, columns, columns)
	for i := range k {
		off.Row(i)[i]--
	}
	product.Add(by, 3./8, off, off)
	for i := range k {
		for c, e := range off.Row(i) {
			by.Row(i)[c] -= e / 2
		}
		by.Row(i)[i]++
	}
	out := kernel.NewMatrix64(x.Cols, k)
	product.Add(out, 1, x, by)
	return out
}
