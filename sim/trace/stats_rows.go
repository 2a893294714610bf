package trace

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack"
	"gonum.org/v1/gonum/lapack/lapack64"
	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/kernel"
)

// energyRows bounds the rows that enter a Gram matrix; more are thinned evenly to this many.
const energyRows = 4096

// measureRows fills in the rank and drift of keys and values, and returns the values for the comparison
// with the next layer.
func measureRows(t *Trace, l *Layer, tokens int, f *Figures) (*centred, error) {
	var err error
	k, v := sideBySide(l.K, tokens, t.HeadDim), sideBySide(l.V, tokens, t.HeadDim)
	gram := gramOf(k)
	if f.KeyDims, err = energyDims(gram); err != nil {
		return nil, err
	}
	gram = gramOf(v)
	if f.ValueDims, err = energyDims(gram); err != nil {
		return nil, err
	}
	rope := kernel.Rope{InvFreq: t.Rope.InvFreq, GPTJ: t.Rope.Style == "gptj"}
	keys := make([][]float32, t.KVHeads)
	for j := range keys {
		keys[j] = append(keys[j], l.K[j]...)
		for i := range tokens {
			rope.Rotate(keys[j][i*t.HeadDim:(i+1)*t.HeadDim], -float64(i+t.PositionOffset))
		}
	}
	f.KeyCosine64 = driftCosine(keys, tokens, t.HeadDim)
	f.ValueCosine64 = driftCosine(l.V, tokens, t.HeadDim)
	return centre(v), nil
}

// sideBySide returns rows of all heads joined, [tokens or energyRows][heads*dim].
func sideBySide(heads [][]float32, tokens, dim int) *mat.Dense {
	n, width := min(tokens, energyRows), len(heads)*dim
	m := mat.NewDense(n, width, nil)
	for i := range n {
		row, token := m.RawRowView(i), i*tokens/n
		for j, h := range heads {
			for c, x := range h[token*dim : (token+1)*dim] {
				row[j*dim+c] = float64(x)
			}
		}
	}
	return m
}

// gramOf returns the upper triangle of X^T X, with rows 8 apart from a power of two: with such a stride
// the decomposition of a 512 x 512 matrix is eight times slower, from cache conflicts.
func gramOf(x *mat.Dense) blas64.Symmetric {
	_, n := x.Dims()
	g := blas64.Symmetric{N: n, Stride: n + 8, Data: make([]float64, n*(n+8)), Uplo: blas.Upper}
	blas64.Syrk(blas.Trans, 1, x.RawMatrix(), 0, g)
	return g
}

// energyDims counts the largest eigenvalues that together hold energyShare of the trace. It overwrites
// the matrix.
func energyDims(g blas64.Symmetric) (float64, error) {
	values := make([]float64, g.N)
	work := make([]float64, 1)
	lapack64.Syev(lapack.EVNone, g, values, work, -1)
	work = make([]float64, int(work[0]))
	if !lapack64.Syev(lapack.EVNone, g, values, work, len(work)) {
		return 0, errors.New("the eigenvalues of the rows' Gram matrix do not converge")
	}
	left, n := energyShare*sum(values), 0 // values ascend
	for ; n < len(values) && left > 0; n++ {
		left -= values[len(values)-1-n]
	}
	return float64(n), nil
}

// driftCosine is the mean cosine of rows driftTokens apart, less the head's mean row.
func driftCosine(heads [][]float32, tokens, dim int) *float64 {
	var m mean
	a, b := make([]float64, dim), make([]float64, dim)
	for _, rows := range heads {
		centre := make([]float64, dim)
		for i, x := range rows[:tokens*dim] {
			centre[i%dim] += float64(x) / float64(tokens)
		}
		for i := range max(0, tokens-driftTokens) {
			for c := range dim {
				a[c] = float64(rows[i*dim+c]) - centre[c]
				b[c] = float64(rows[(i+driftTokens)*dim+c]) - centre[c]
			}
			m.add(cosine(a, b))
		}
	}
	return m.value()
}

// centred is a layer's values less their mean row, and the Frobenius norm of their Gram matrix.
type centred struct {
	x    *mat.Dense
	norm float64
}

// centre subtracts the mean row in place.
func centre(x *mat.Dense) *centred {
	n, width := x.Dims()
	centre := make([]float64, width)
	for i := range n {
		for c, v := range x.RawRowView(i) {
			centre[c] += v / float64(n)
		}
	}
	for i := range n {
		row := x.RawRowView(i)
		for c := range row {
			row[c] -= centre[c]
		}
	}
	return &centred{x, gramNorm(x, x)}
}

// similarity is linear CKA: |X^T Y|^2 / (|X^T X| |Y^T Y|), in Frobenius norms.
func (c *centred) similarity(before *centred) *float64 {
	if c.norm == 0 || before.norm == 0 {
		return nil
	}
	s := gramNorm(c.x, before.x)
	s = s * s / (c.norm * before.norm)
	return &s
}

// gramNorm is the Frobenius norm of X^T Y.
func gramNorm(x, y *mat.Dense) float64 {
	var g mat.Dense
	g.Mul(x.T(), y)
	return mat.Norm(&g, 2)
}

// mean is a running mean.
type mean struct {
	total float64
	n     int
}

// add takes a value in, if it is one.
func (m *mean) add(x float64, ok bool) {
	if ok {
		m.total += x
		m.n++
	}
}

// join takes in all values of another mean.
func (m *mean) join(o mean) {
	m.total += o.total
	m.n += o.n
}

// value is nil where nothing was added.
func (m mean) value() *float64 {
	if m.n == 0 {
		return nil
	}
	v := m.total / float64(m.n)
	return &v
}

// cosine of two rows; not ok where one of them is zero.
func cosine[T float32 | float64](a, b []T) (cos float64, ok bool) {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab += x * y
		aa += x * x
		bb += y * y
	}
	if aa == 0 || bb == 0 {
		return 0, false
	}
	return ab / math.Sqrt(aa*bb), true
}

// sum adds up in index order.
func sum(xs []float64) float64 {
	var s float64
	for _, x := range xs {
		s += x
	}
	return s
}
