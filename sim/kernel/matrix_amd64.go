//go:build amd64 && !purego

package kernel

// Dispatch: float64 matrices, in whole steps by the assembly. The wrappers check, by slicing, what it takes for
// granted.

// tileProductSlices adds the product of two packed panels to a tile.
func (a *simd) tileProductSlices(x, y []float64, k int, out []float64, stride int) {
	rows, cols := a.tileSize()
	_, _, _ = x[:k*rows], y[:k*cols], out[:(rows-1)*stride+cols]
	a.tileProduct(&x[0], &y[0], k, &out[0], 8*stride)
}

// tileSize is rows and columns of a tile: of three registers of columns.
func (a *simd) tileSize() (rows, cols int) { return a.lanes / 2, 3 * a.lanes / 2 }

// stripDotsSlices adds the inner products of Strip rows with x to sums.
func (a *simd) stripDotsSlices(rows []float64, stride, n int, x, sums []float64) {
	_, _, _ = rows[:(Strip-1)*stride+n], x[:n], sums[:Strip]
	a.stripDots(&rows[0], 8*stride, n, &x[0], &sums[0])
}

// stripAxpysSlices adds Strip rows, each times its weight, to y.
func (a *simd) stripAxpysSlices(rows []float64, stride, n int, y, weights []float64) {
	_, _, _ = rows[:(Strip-1)*stride+n], y[:n], weights[:Strip]
	a.stripAxpys(&rows[0], 8*stride, n, &y[0], &weights[0])
}

// stripSlices does what both functions above do.
func (a *simd) stripSlices(rows []float64, stride, n int, x, sums, y, weights []float64) {
	_, _, _ = rows[:(Strip-1)*stride+n], x[:n], sums[:Strip]
	_, _ = y[:n], weights[:Strip]
	a.strip(&rows[0], 8*stride, n, &x[0], &sums[0], &y[0], &weights[0])
}
