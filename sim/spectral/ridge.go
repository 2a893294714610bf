package spectral

import (
	"errors"
	"math"

	"kvgauge/sim/kernel"
)

var errDefinite = errors.New("the rows to fit on are too large for a least-squares fit")

// Ridge returns the matrix A [p][q] that minimises |X A - Y|^2 + ridge |A|^2 for X [n][p], Y [n][q], where ridge is a
// share of the mean diagonal of X^T X. It is zero where X is.
func Ridge(x, y kernel.Matrix64, share float64) (kernel.Matrix64, error) {
	g, a := Gram(x), Product(x, y)
	var ridge float64
	for i := range g.N {
		ridge += share * g.Upper(i)[0] / float64(g.N)
	}
	if ridge == 0 {
		return a, nil
	}
	for i := range g.N {
		g.Upper(i)[0] += ridge
	}
	if !g.factorise() {
		return a, errDefinite
	}
	g.solve(a)
	return a, nil
}

// factorise overwrites a positive definite matrix with R of R^T R, Cholesky's, and reports whether it is one. A panel of
// rows is factorised row by row, and then taken from all rows below as a product.
func (s Symmetric) factorise() bool {
	n, m := s.N, s.m.Part(0, s.N, 0, s.N)
	var product kernel.Product
	for top := 0; top < n; top += panel {
		bottom := min(top+panel, n)
		for i := top; i < bottom; i++ {
			row := m.Row(i)[i:]
			for l := top; l < i; l++ {
				above := m.Row(l)[i:]
				addRow(-above[0], above, row)
			}
			if !(row[0] > 0) || math.IsInf(row[0], 0) {
				return false
			}
			scale(row, 1/math.Sqrt(row[0]))
		}
		right := m.Part(top, bottom, bottom, n)
		product.AddUpper(m.Part(bottom, n, bottom, n), -1, right, right)
	}
	return true
}

// solve overwrites the columns of b with the solutions of R^T R x = b: down with R^T and up with R, a panel of rows at a
// time.
func (s Symmetric) solve(b kernel.Matrix64) {
	n, m := s.N, s.m.Part(0, s.N, 0, s.N)
	var product kernel.Product
	for top := 0; top < n; top += panel {
		bottom := min(top+panel, n)
		for i := top; i < bottom; i++ {
			for l := top; l < i; l++ {
				addRow(-m.Row(l)[i], b.Row(l), b.Row(i))
			}
			scale(b.Row(i), 1/m.Row(i)[i])
		}
		product.Add(b.Part(bottom, n, 0, b.Cols), -1, m.Part(top, bottom, bottom, n), b.Part(top, bottom, 0, b.Cols))
	}
	for top := (n - 1) / panel * panel; top >= 0; top -= panel {
		bottom := min(top+panel, n)
		product.Add(b.Part(top, bottom, 0, b.Cols), -1, m.Part(top, bottom, bottom, n).Transposed(), b.Part(bottom, n, 0, b.Cols))
		for i := bottom - 1; i >= top; i-- {
			for l := i + 1; l < bottom; l++ {
				addRow(-m.Row(i)[l], b.Row(l), b.Row(i))
			}
			scale(b.Row(i), 1/m.Row(i)[i])
		}
	}
}

// addRow adds x times by to y.
func addRow(by float64, x, y []float64) {
	y = y[:len(x)]
	for c, f := range x {
		y[c] += by * f
	}
}
