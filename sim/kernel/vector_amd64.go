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

// dotSlices returns the inner product of x and y.
func (a *simd) dotSlices(x, y []float32) float32 {
	y = y[:len(x)]
	n := len(x) &^ 15
	if n == 0 {
		return dot(x, y)
	}
	return a.dot(&x[0], &y[0], n) + dot(x[n:], y[n:])
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

// sigmoidSlices sets dst to the sigmoid of x.
func (a *simd) sigmoidSlices(dst, x []float32) {
	dst = dst[:len(x)]
	n := len(x) &^ 15
	if n > 0 {
		a.sigmoid(&dst[0], &x[0], n)
	}
	sigmoidGeneric(dst[n:], x[n:])
}
