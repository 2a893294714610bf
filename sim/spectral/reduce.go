package spectral

import (
	"math"

	"kvgauge/sim/kernel"
)

const (
	panel = 32 // rows that are reduced before the matrix right of and below them is
	group = 64 // reflections that go back together
)

// tridiagonal is T of A = Q T Q^T. Q is the product of the reflections I - tau v v^T, of which v of number i is row i
// of a: zeros up to column i, then a one.
type tridiagonal struct {
	diagonal, beside []float64 // [n] and [n-1]
	tau              []float64 // [n-1]
	a                Symmetric
	exponent         int // of what A was divided by
}

// reduce reduces a matrix, which it overwrites, by Householder's reflections from both sides (LAPACK's dlatrd and
// dsytrd; Dongarra, Sorensen and Hammarling 1989). The numbers of a row right of the diagonal are reflected onto the
// first of them. What a panel of reflections does to the rest of the matrix is
//
//	A - V^T W - W^T V, with w = tau (A v) - (tau^2/2 v.A v) v
//
// Rows of a panel are brought up to date one by one, before they are reflected; the rest waits for the end of the
// panel. So A v is of the matrix as it was before the panel, less what its reflections have done.
func reduce(a Symmetric) (*tridiagonal, error) {
	n, whole := a.N, a.m.Rows
	exponent, err := a.normalise()
	if err != nil {
		return nil, err
	}
	t := &tridiagonal{make([]float64, n), make([]float64, max(0, n-1)), make([]float64, max(0, n-1)), a, exponent}
	// The factors of the update, one on the other: [V; W] and [W; V].
	vw, wv := kernel.NewMatrix64(2*panel, whole), kernel.NewMatrix64(2*panel, whole)
	var product kernel.Product
	var room panelRoom
	for top := 0; top < n; top += panel {
		bottom := min(top+panel, n)
		for i := top; i < bottom; i++ {
			t.row(i, top, wv.Part(0, panel, 0, whole), &room)
		}
		if bottom == n {
			break
		}
		for l := range panel {
			copy(vw.Row(l), a.m.Row(top+l))
			copy(vw.Row(panel+l), wv.Row(l))
			copy(wv.Row(panel+l), a.m.Row(top+l))
		}
		right := func(m kernel.Matrix64) kernel.Matrix64 { return m.Part(0, m.Rows, bottom, whole) }
		product.AddUpper(a.m.Part(bottom, whole, bottom, whole), -1, right(vw), right(wv))
	}
	return t, nil
}

// normalise divides by a power of two, whose exponent it returns, so that no square of a number that matters leaves the
// range of float64. It also fills in the squares on the diagonal, which a product with a vector reads in full.
func (s Symmetric) normalise() (exponent int, err error) {
	var largest float64
	for i := range s.N {
		for _, x := range s.Upper(i) {
			largest = max(largest, math.Abs(x))
		}
	}
	if math.IsNaN(largest) || math.IsInf(largest, 0) {
		return 0, errFinite
	}
	_, exponent = math.Frexp(largest)
	half, rest := math.Ldexp(1, -exponent/2), math.Ldexp(1, -exponent+exponent/2) // the whole may be out of range
	for i := range s.N {
		row := s.Upper(i)
		for c := range row {
			row[c] = row[c] * half * rest
		}
		for c := i + 1; c < min(s.N, strips(i+1)); c++ {
			s.m.Row(c)[i] = row[c-i]
		}
	}
	return exponent, nil
}

// panelRoom holds the weights of a panel's rows.
type panelRoom struct{ v, w [panel]float64 }

// row brings row i up to date with the reflections of its panel, whose first row is top, and reflects it; its w is made
// in wide. Rows are read in whole strips: numbers left of the row's own and rows that are not reflected yet have a
// weight of zero.
func (t *tridiagonal) row(i, top int, wide kernel.Matrix64, room *panelRoom) {
	a, n, whole := t.a.m, t.a.N, t.a.m.Rows
	row, done := a.Row(i), i-top
	rows := strips(done)
	room.v, room.w = [panel]float64{}, [panel]float64{}
	for l := range done {
		room.v[l], room.w[l] = -wide.Row(l)[i], -a.Row(top + l)[i]
	}
	left := i &^ (kernel.Strip - 1)
	a.Part(top, top+rows, left, whole).AddRows(room.v[:], row[left:])
	wide.Part(0, rows, left, whole).AddRows(room.w[:], row[left:])
	t.diagonal[i] = row[i]
	clear(row[:i+1])
	if i+1 == n {
		return
	}
	tau := t.reflect(i, row[i+1:n])

	left = (i + 1) &^ (kernel.Strip - 1)
	v, w := row[left:], wide.Row(done)[left:]
	clear(w)
	a.Part(left, whole, left, whole).AddSymmetric(v, w, i%2 == 0)
	vs, ws := a.Part(top, top+rows, left, whole), wide.Part(0, rows, left, whole)
	room.v, room.w = [panel]float64{}, [panel]float64{}
	vs.AddDots(v, room.w[:])
	ws.AddDots(v, room.v[:])
	for l := range done {
		room.v[l], room.w[l] = -room.v[l], -room.w[l]
	}
	clear(room.v[done:])
	clear(room.w[done:])
	vs.AddRows(room.v[:], w)
	ws.AddRows(room.w[:], w)
	var along float64
	for c, x := range v {
		along += x * w[c]
	}
	along *= tau * tau / 2
	for c, x := range v {
		w[c] = tau*w[c] - along*x
	}
}

// reflect makes of x, the numbers right of the diagonal in row i, the vector of the reflection that leaves only the
// first of them.
func (t *tridiagonal) reflect(i int, x []float64) (tau float64) {
	first, rest := x[0], norm(x[1:])
	x[0] = 1
	t.beside[i] = first
	if rest == 0 {
		clear(x[1:])
		return 0
	}
	beta := -math.Copysign(math.Hypot(first, rest), first)
	scale := 1 / (first - beta)
	for c := range x[1:] {
		x[1+c] *= scale
	}
	t.beside[i], t.tau[i] = beta, (beta-first)/beta
	return t.tau[i]
}

// norm is the Euclidean norm.
func norm(x []float64) float64 {
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(x); i += 4 {
		s0 += x[i] * x[i]
		s1 += x[i+1] * x[i+1]
		s2 += x[i+2] * x[i+2]
		s3 += x[i+3] * x[i+3]
	}
	for ; i < len(x); i++ {
		s0 += x[i] * x[i]
	}
	return math.Sqrt((s0 + s1) + (s2 + s3))
}

// transformBack multiplies Q into vectors [n][k], from the last reflections to the first: a group of them is
// I - V^T T V with a triangular T (compact WY; LAPACK's dlarft and dlarfb).
func (t *tridiagonal) transformBack(vectors kernel.Matrix64) {
	n, k := t.a.N, vectors.Cols
	var product kernel.Product
	for top := (len(t.tau) - 1) / group * group; len(t.tau) > 0 && top >= 0; top -= group {
		bottom := min(top+group, len(t.tau))
		v, size := t.a.m.Part(top, bottom, top, n), bottom-top
		columns, below := v.Transposed(), vectors.Part(top, n, 0, k)
		gram := kernel.NewMatrix64(size, size)
		product.Add(gram, 1, columns, columns)
		along, times := kernel.NewMatrix64(size, k), kernel.NewMatrix64(size, k)
		product.Add(along, 1, columns, below)
		product.Add(times, 1, compact(gram, t.tau[top:bottom]), along)
		product.Add(below, -1, v, times)
	}
}

// compact returns the transpose of T of a group of reflections, from the products of their vectors.
func compact(gram kernel.Matrix64, tau []float64) kernel.Matrix64 {
	t := kernel.NewMatrix64(len(tau), len(tau))
	for j, by := range tau {
		// T[:j][j] = -tau T[:j][:j] gram[:j][j]
		for l := range j {
			x := -by * gram.Row(l)[j]
			for i, y := range t.Row(l)[:l+1] {
				t.Row(j)[i] += x * y
			}
		}
		t.Row(j)[j] = by
	}
	return t
}
