//go:build amd64 && !purego

package kernel

// Dispatch: the kernel of Linear by the assembly, in whole tiles. The wrapper checks, by slicing, what it takes for
// granted.

// linearSize is rows and columns of a tile: of three registers of columns.
func (a *simd) linearSize() (rows, cols int) { return a.lanes / 2, 3 * a.lanes }

// tileLinearSlices adds the product of rows with a packed panel to a tile.
func (a *simd) tileLinearSlices(x []float32, stride int, w []float32, k int, out []float32, outStride int) {
	rows, cols := a.linearSize()
	_, _, _ = x[:(rows-1)*stride+k], w[:k*cols], out[:(rows-1)*outStride+cols]
	a.tileLinear(&x[0], 4*stride, &w[0], k, &out[0], 4*outStride)
}
