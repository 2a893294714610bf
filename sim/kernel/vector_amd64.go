//go:build amd64 && !purego

package kernel

// Dispatch: vectors of any length, whose whole steps the assembly takes, and the rest the reference.

// axpySlices adds p*x to y.
func (a *simd) axpySlices(p float32, x, y []float32) {
	y = y[:len(x)]
	dim := len(x) &^ 15
	if dim > 0 {
		a.axpy(p, &x[0], &y[0], dim)
	}
	axpy(p, x[dim:], y[dim:])
}

// maxSlices raises y to x where x is larger.
func (a *simd) maxSlices(x, y []float32) {
	y = y[:len(x)]
	n := len(x) &^ 15
	if n > 0 {
		a.maxInto(&x[0], &y[0], n)
	}
	maxInto(x[n:], y[n:])
}

// minSlices lowers y to x where x is smaller.
func (a *simd) minSlices(x, y []float32) {
	y = y[:len(x)]
	n := len(x) &^ 15
	if n > 0 {
		a.minInto(&x[0], &y[0], n)
	}
	minInto(x[n:], y[n:])
}

// dotSlices returns the inner product of x and y.
func (a *simd) dotSlices(x, y []float32) float32 {
	y = y[:len(x)]
	n := len(x) &^ 15
	if n == 0 {
		return dot(x, y)
	}
	return a.dot(&x[0], &y[0], n) + dot(x[n:], y[n:])
}

// squaresSlices adds to sums the squared lengths of rows [len(sums)][dim].
func (a *simd) squaresSlices(sums []float64, rows []float32, dim int) {
	rows = rows[:len(sums)*dim]
	whole := dim &^ 15
	if whole > 0 && len(sums) > 0 {
		a.squares(&sums[0], &rows[0], 4*dim, len(sums), whole)
	}
	if whole < dim {
		for i := range sums {
			rest := rows[i*dim+whole : (i+1)*dim]
			sums[i] += float64(dot(rest, rest))
		}
	}
}

// mulSlices sets dst to x*y.
func (a *simd) mulSlices(dst, x, y []float32) {
	x, y = x[:len(dst)], y[:len(dst)]
	whole := len(dst) &^ 15
	if whole > 0 {
		a.mul(&dst[0], &x[0], &y[0], whole)
	}
	for i := whole; i < len(dst); i++ {
		dst[i] = x[i] * y[i]
	}
}

// floats widens as many values of src as dst holds.
func (a *simd) floats(dst []float32, src []uint16) {
	src = src[:len(dst)]
	n := len(dst) &^ 15
	if n > 0 {
		a.widen(&dst[0], &src[0], n)
	}
	floats(dst[n:], src[n:])
}

// halves rounds src into dst and reports whether every value stayed finite.
func (a *simd) halves(dst []byte, src []float32) (finite bool) {
	n := len(src) &^ 15
	finite = encodeF16(dst[2*n:], src[n:])
	return (n == 0 || a.narrow(&dst[0], &src[0], n) == 0) && finite
}

// halvesOf rounds the rows of src [...][dim] that rows names into dst and reports whether every value stayed finite.
func (a *simd) halvesOf(dst []byte, src []float32, dim int, rows []int32) (finite bool) {
	if dim%16 != 0 || len(rows) == 0 {
		return encodeF16Of(dst, src, dim, rows)
	}
	_ = dst[2*dim*len(rows)-1]
	for _, r := range rows {
		_ = src[int(r)*dim : (int(r)+1)*dim]
	}
	return a.narrowRows(&dst[0], &src[0], dim, &rows[0], len(rows)) == 0
}

// sigmoidSlices sets dst to the sigmoid of x.
func (a *simd) sigmoidSlices(dst, x []float32) {
	dst = dst[:len(x)]
	n := len(x) &^ 15
	if n > 0 {
		a.sigmoid(&dst[0], &x[0], n)
	}
	sigmoidGeneric(dst[n:], x[n:])
}
