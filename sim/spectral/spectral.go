// Package spectral is the eigenproblem of symmetric matrices at the speed of the kernels: Gram matrices of rows, all
// eigenvalues, the leading eigenvectors. Fits of bases and the spectra of trace info spend their time in it; gonum's
// solver takes half a minute for a width of 2048, this one a second at most.
//
// A matrix is reduced to a tridiagonal one by reflections (reduce.go), a panel of rows at a time, so that half of the
// work is products of matrices and the other half reads each number of a triangle once. The eigenvalues are those of
// the tridiagonal matrix, by gonum. Eigenvectors are made only of as many as are wanted, by inverse iteration
// (inverse.go), and go back through the reflections as products of matrices. Least-squares fits (ridge.go) are made of
// the same products.
//
// Eigenvalues l and vectors u of a matrix G of width n are right to 1e-14 (n + 10), which the tests hold them to:
// values, and the largest number of the residual G u - l u, in units of the largest eigenvalue's magnitude; products of
// vectors with each other, as they are. Of eigenvalues that are equal, or nearly so, any basis of their eigenvectors may
// come. Results do not depend on threads: a decomposition runs on one, and callers have several side by side.
package spectral

import (
	"errors"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/gonum"
	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/kernel"
)

// Symmetric is a symmetric matrix of which the upper triangle is stored. The rest of it is scratch memory.
type Symmetric struct {
	N int
	m kernel.Matrix64 // whole strips, those beyond N of zeros
}

var (
	errFinite   = errors.New("the matrix to decompose holds numbers that are not finite")
	errConverge = errors.New("the eigenvalues of the rows' Gram matrix do not converge")
)

// NewSymmetric returns a matrix of zeros.
func NewSymmetric(n int) Symmetric {
	whole := strips(n)
	return Symmetric{n, kernel.NewMatrix64(whole, whole)}
}

// strips rounds up to whole strips.
func strips(n int) int { return (n + kernel.Strip - 1) &^ (kernel.Strip - 1) }

// Upper returns what is stored of row i: columns i to N.
func (s Symmetric) Upper(i int) []float64 { return s.m.Row(i)[i:s.N] }

// Matrix is a matrix of gonum as one of the kernels, which shares the memory.
func Matrix(d *mat.Dense) kernel.Matrix64 {
	m := d.RawMatrix()
	return kernel.Matrix64{Rows: m.Rows, Cols: m.Cols, Stride: m.Stride, Data: m.Data}
}

// Dense is a matrix of the kernels as one of gonum, which shares the memory.
func Dense(m kernel.Matrix64) *mat.Dense {
	var d mat.Dense
	d.SetRawMatrix(blas64.General{Rows: m.Rows, Cols: m.Cols, Stride: m.Stride, Data: m.Data})
	return &d
}

// Clone copies a matrix.
func (s Symmetric) Clone() Symmetric {
	s.m.Data = slices.Clone(s.m.Data)
	return s
}

// Product returns the products of the columns of x with those of y, X^T Y.
func Product(x, y kernel.Matrix64) kernel.Matrix64 {
	out := kernel.NewMatrix64(x.Cols, y.Cols)
	new(kernel.Product).Add(out, 1, x, y)
	return out
}

// MeanNorm is the mean over columns of their norms.
func MeanNorm(x kernel.Matrix64) float64 {
	squares := make([]float64, x.Cols)
	for i := range x.Rows {
		for c, f := range x.Row(i) {
			squares[c] += f * f
		}
	}
	var sum float64
	for _, s := range squares {
		sum += math.Sqrt(s)
	}
	return sum / float64(x.Cols)
}

// Gram returns the products of the columns of x with each other, X^T X.
func Gram(x kernel.Matrix64) Symmetric {
	s := NewSymmetric(x.Cols)
	new(kernel.Product).AddUpper(s.m.Part(0, s.N, 0, s.N), 1, x, x)
	return s
}

// Values returns the eigenvalues of a matrix, the largest first. It overwrites the matrix.
func Values(s Symmetric) ([]float64, error) {
	t, err := reduce(s)
	if err != nil {
		return nil, err
	}
	values, err := t.values()
	return t.scaled(values), err
}

// Leading returns the k largest eigenvalues of a matrix, the largest first, and their eigenvectors as columns,
// [N][k]. It overwrites the matrix.
func Leading(s Symmetric, k int) ([]float64, kernel.Matrix64, error) {
	t, err := reduce(s)
	if err != nil {
		return nil, kernel.Matrix64{}, err
	}
	values, err := t.values()
	if err != nil {
		return nil, kernel.Matrix64{}, err
	}
	values = values[:k]
	vectors := orthonormal(t.inverseIteration(values))
	t.transformBack(vectors)
	return t.scaled(values), vectors, nil
}

// without is the share of the largest eigenvalue of a Gram matrix that is none: rounding leaves less.
const without = 1e-12

// Principal returns an orthonormal basis of the rank directions that hold most of the energy of the rows of x [n][p],
// not centred: [p][k] with k = min(rank, n, p), the strongest first. It decomposes the smaller of the two Gram
// matrices. Directions without energy, where there are not as many with some, are of no order of strength: those of
// columns are the first unit vectors, made orthogonal, which rounding does not move; of the rows' own all but one are
// left out.
func Principal(x kernel.Matrix64, rank int) (kernel.Matrix64, error) {
	k := min(rank, x.Rows, x.Cols)
	if x.Cols <= x.Rows {
		values, basis, err := Leading(Gram(x), k)
		if err != nil {
			return basis, err
		}
		held := 0
		for held < k && values[held] > without*values[0] {
			held++
		}
		return complete(basis, held), nil
	}
	values, w, err := Leading(Gram(x.Transposed()), k)
	if err != nil {
		return kernel.Matrix64{}, err
	}
	// X = W S U^T: the columns of U are X^T w / s.
	for k > 1 && values[k-1] <= without*values[0] {
		k--
	}
	basis := kernel.NewMatrix64(x.Cols, k)
	new(kernel.Product).Add(basis, 1, x, w.Part(0, x.Rows, 0, k))
	for i := range basis.Rows {
		for c, u := range basis.Row(i) {
			basis.Row(i)[c] = u / math.Sqrt(max(values[c], math.SmallestNonzeroFloat64))
		}
	}
	return basis, nil
}

// complete replaces the columns of an orthonormal basis [p][k] from the one of number held on by unit vectors, those that
// are not nearly in the span of the columns before, made orthogonal to them.
func complete(basis kernel.Matrix64, held int) kernel.Matrix64 {
	p, k := basis.Rows, basis.Cols
	if held == k {
		return basis
	}
	whole, sums := kernel.NewMatrix64(strips(k), strips(p)), make([]float64, strips(k))
	columns := basis.Transposed()
	for c := range held {
		copy(whole.Row(c), columns.Row(c))
	}
	for i := 0; held < k; i++ {
		left := 1.0 // of unit vector i: one of them always has 1/p
		for c := range held {
			left -= whole.Row(c)[i] * whole.Row(c)[i]
		}
		if left > 0.5/float64(p) {
			x := whole.Row(held)
			x[i] = 1
			for range 2 { // the second time takes what rounding left
				project(whole, 0, held, sums)
				scale(x, 1/norm(x))
			}
			held++
		}
	}
	return whole.Part(0, k, 0, p).Transposed()
}

// scaled gives eigenvalues the size of those of the matrix before it was divided.
func (t *tridiagonal) scaled(values []float64) []float64 {
	for i, x := range values {
		values[i] = math.Ldexp(x, t.exponent)
	}
	return values
}

// values returns the eigenvalues, the largest first.
func (t *tridiagonal) values() ([]float64, error) {
	n := len(t.diagonal)
	ascending, beside := nonzero(t.diagonal), nonzero(t.beside)
	if !(gonum.Implementation{}).Dsterf(n, ascending, beside) {
		return nil, errConverge
	}
	values := make([]float64, n)
	for i, x := range ascending {
		values[n-1-i] = x
	}
	return values, nil
}

// nonzero copies, less what is nothing beside a norm of about one: gonum panics over a part of the matrix that is so
// small.
func nonzero(x []float64) []float64 {
	out := slices.Clone(x)
	for i, a := range out {
		if math.Abs(a) < 1e-100 {
			out[i] = 0
		}
	}
	return out
}
