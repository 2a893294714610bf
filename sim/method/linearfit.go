package method

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/spectral"
)

// damping is the ridge of a least-squares fit as a share of the mean diagonal of its Gram matrix; the
// converter of TransMLA damps with the same share.
const damping = 1e-2

var errFit = errors.New("the rows to fit on are all zero or too large for a least-squares fit")

// sideBySide returns the rows of all heads next to each other in float64, [rows][heads*dim], each times
// scale.
func sideBySide(heads [][]float32, dim int, scale float64) *mat.Dense {
	rows := len(heads[0]) / dim
	x := mat.NewDense(rows, len(heads)*dim, nil)
	for i := range rows {
		to := x.RawRowView(i)
		for j, head := range heads {
			for c, f := range head[i*dim : (i+1)*dim] {
				to[j*dim+c] = scale * float64(f)
			}
		}
	}
	return x
}

// leastSquares returns the matrix A [p][q] that minimises |X A - Y|^2 + ridge |A|^2 for X [n][p], Y [n][q].
func leastSquares(x, y *mat.Dense) (*mat.Dense, error) {
	a, err := spectral.Ridge(spectral.Matrix(x), spectral.Matrix(y), damping)
	if err != nil {
		return nil, errFit
	}
	return spectral.Dense(a), nil
}

// valueMaps fits the values of target heads, [head][rows*dim], as linear maps of the rows of source heads side
// by side. Each result, [dim][sources*dim], makes a weighted sum of source rows one of target rows.
func valueMaps(source, target [][]float32, dim int) ([]cache.Matrix, error) {
	a, err := leastSquares(sideBySide(source, dim, 1), sideBySide(target, dim, 1))
	if err != nil {
		return nil, err
	}
	var ms []cache.Matrix
	for j := range target {
		ms = append(ms, matrix(a.Slice(0, len(source)*dim, j*dim, (j+1)*dim).T()))
	}
	return ms, nil
}

// keyMaps fits the keys of target heads, [head][rows*dim], by maps of the source heads' keys that commute
// with the rotary embedding, so that they can be folded into the query: for each frequency pair a complex
// number for each source head; for the dimensions that are not rotated, any linear map among them. Each
// result, [sources*dim][dim], makes a query of target keys one of source keys side by side.
func keyMaps(rope kernel.Rope, source, target [][]float32, dim int) ([]cache.Matrix, error) {
	var ms []cache.Matrix
	for range target {
		ms = append(ms, cache.NewMatrix(len(source)*dim, dim))
	}
	rotated := make([]bool, dim)
	for p := range rope.InvFreq {
		re, im := rope.Pair(p)
		rotated[re], rotated[im] = true, true
		if err := pairMaps(ms, source, target, dim, re, im); err != nil {
			return nil, err
		}
	}
	var still []int
	for c := range dim {
		if !rotated[c] {
			still = append(still, c)
		}
	}
	if len(still) == 0 {
		return ms, nil
	}
	a, err := leastSquares(sideBySide(pick(source, dim, still), len(still), 1), sideBySide(pick(target, dim, still), len(still), 1))
	if err != nil {
		return nil, err
	}
	for j := range target {
		for g := range source {
			for s, from := range still {
				for t, to := range still {
					ms[j].Row(g*dim + from)[to] = float32(a.At(g*len(still)+s, j*len(still)+t))
				}
			}
		}
	}
	return ms, nil
}

// pairMaps fits one frequency pair, dimensions re and im read as a complex number: y = sum over g of a[g]*x[g].
// In real numbers [Re y; Im y] = [[Re x, -Im x]; [Im x, Re x]] [Re a; Im a].
func pairMaps(ms []cache.Matrix, source, target [][]float32, dim, re, im int) error {
	rows := len(target[0]) / dim
	x, y := mat.NewDense(2*rows, 2*len(source), nil), mat.NewDense(2*rows, len(target), nil)
	for i := range rows {
		real, imag := x.RawRowView(2*i), x.RawRowView(2*i+1)
		for g, s := range source {
			xr, xi := float64(s[i*dim+re]), float64(s[i*dim+im])
			real[2*g], real[2*g+1] = xr, -xi
			imag[2*g], imag[2*g+1] = xi, xr
		}
		for j, t := range target {
			y.Set(2*i, j, float64(t[i*dim+re]))
			y.Set(2*i+1, j, float64(t[i*dim+im]))
		}
	}
	a, err := leastSquares(x, y)
	if err != nil {
		return err
	}
	for j := range target {
		for g := range source { // q . (a x) = (conj(a) q) . x
			ar, ai := float32(a.At(2*g, j)), float32(a.At(2*g+1, j))
			toRe, toIm := ms[j].Row(g*dim+re), ms[j].Row(g*dim+im)
			toRe[re], toRe[im] = ar, ai
			toIm[re], toIm[im] = -ai, ar
		}
	}
	return nil
}

// keyNumbers is how many numbers one of the maps of keyMaps is made of.
func keyNumbers(rope kernel.Rope, sources, dim int) int {
	still := dim - 2*len(rope.InvFreq)
	return sources * (2*len(rope.InvFreq) + still*still)
}

// pick returns some of the dimensions of every head's rows.
func pick(heads [][]float32, dim int, dims []int) [][]float32 {
	var out [][]float32
	for _, head := range heads {
		picked := make([]float32, 0, len(head)/dim*len(dims))
		for i := 0; i < len(head); i += dim {
			for _, c := range dims {
				picked = append(picked, head[i+c])
			}
		}
		out = append(out, picked)
	}
	return out
}

// matrix rounds to float32.
func matrix(a mat.Matrix) cache.Matrix {
	rows, cols := a.Dims()
	return zeroPadded(a, rows, cols)
}

// zeroPadded rounds to float32 and fills with zeros.
func zeroPadded(a mat.Matrix, rows, cols int) cache.Matrix {
	m := cache.NewMatrix(rows, cols)
	n, width := a.Dims()
	for i := range n {
		for j := range width {
			m.Row(i)[j] = float32(a.At(i, j))
		}
	}
	return m
}

// principal returns an orthonormal basis of the rank directions that hold most of the energy of the rows
// of x [n][p], not centred: [p][k] with k = min(rank, n, p), the strongest first.
func principal(x *mat.Dense, rank int) *mat.Dense {
	n, p := x.Dims()
	basis, err := spectral.Principal(spectral.Matrix(x), rank)
	return orNaN(basis, err, p, min(rank, n, p))
}

// orNaN returns eigenvectors, or numbers that are none where there was an error, of rows that are not finite: what is
// attended with these is refused.
func orNaN(vectors kernel.Matrix64, err error, rows, cols int) *mat.Dense {
	if err != nil {
		vectors = kernel.NewMatrix64(rows, cols)
		for i := range vectors.Data {
			vectors.Data[i] = math.NaN()
		}
	}
	return spectral.Dense(vectors)
}

// transposed swaps rows and columns.
func transposed(m cache.Matrix) cache.Matrix {
	t := cache.NewMatrix(m.Cols, m.Rows)
	for i := range m.Rows {
		for j, x := range m.Row(i) {
			t.Row(j)[i] = x
		}
	}
	return t
}

// besides copies the rows of some heads side by side into rows of width channels, from channel at on, and returns the
// channel behind them.
func besides(rows []float32, width, at int, heads [][]float32) int {
	n := len(rows) / width
	for _, head := range heads {
		dim := len(head) / n
		for i := range n {
			copy(rows[i*width+at:], head[i*dim:(i+1)*dim])
		}
		at += dim
	}
	return at
}

// absorbed is the map of an encoder whose key and value matrices, by head, are the same in all layers that share: they
// are absorbed into queries and outputs.
func absorbed(encode cache.Map, on *cache.View, key, value []cache.Matrix) cache.Linear {
	m := cache.Linear{Encode: encode, Group: on.Group(), Key: map[int][]cache.Matrix{}, Value: map[int][]cache.Matrix{}}
	for _, l := range on.Layers {
		m.Key[l], m.Value[l] = key, value
	}
	return m
}
