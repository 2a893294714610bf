//go:build amd64 && !purego

package kernel

// Dispatch: whole steps of binary16 by the assembly, and the rest by the reference.

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
