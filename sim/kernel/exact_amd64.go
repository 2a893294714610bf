//go:build amd64 && !purego

package kernel

// Dispatch: whole steps of columns by the assembly, the rest by the reference.

// transposeSlices writes the rows of src, [rows][dim], to the columns of dst, [dim][block].
func (a *simd) transposeSlices(dst, src []float32, dim int) {
	rows, cols := len(src)/dim&^7, dim&^7
	if rows == 0 || cols == 0 {
		transpose(dst, src, dim)
		return
	}
	_ = dst[(dim-1)*block+len(src)/dim-1]
	a.transpose(&dst[0], &src[0], dim, rows, cols)
	transpose(dst[rows:], src[rows*dim:], dim)
	for d := cols; d < dim; d++ {
		for i := range rows {
			dst[d*block+i] = src[i*dim+d]
		}
	}
}

// productSlices adds the product of two matrices to a third, in float64.
func (a *simd) productSlices(x []float64, n int, b []float32, bStride, cols int, out []float64, outStride int) {
	rows, whole := len(x)/n, cols&^15
	_, _ = b[:(n-1)*bStride+cols], out[:(rows-1)*outStride+cols]
	if whole > 0 {
		s := 0
		for _, t := range a.tiles {
			for ; s+t.heads <= rows; s += t.heads {
				t.product(&x[s*n], 8*n, &b[0], 4*bStride, n, whole, &out[s*outStride], 8*outStride)
			}
		}
	}
	if whole < cols {
		productGeneric(x, n, b[whole:], bStride, cols-whole, out[whole:], outStride)
	}
}

// exps64Slices fills dst with e^(src-shift) and returns its sum.
func (a *simd) exps64Slices(dst, src []float64, shift float64) (sum float64) {
	src = src[:len(dst)]
	n := len(dst) &^ 7
	if n > 0 {
		sum = a.exps64(&dst[0], &src[0], n, shift)
	}
	return sum + exps64Generic(dst[n:], src[n:], shift)
}
