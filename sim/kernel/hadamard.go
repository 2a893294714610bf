package kernel

import "math"

// Hadamard is the transform of blocks of a row's channels by the orthonormal matrix of Sylvester,
//
//	H(1) = 1, H(2n) = [[H(n), H(n)], [H(n), -H(n)]] / sqrt(2)
//
// so that a channel which is large in every row is spread over its block. The matrix is its own inverse, and
// products of two transformed rows are those of the rows.
type Hadamard struct {
	Block int       // channels transformed together: a power of two that divides a row
	Signs []float32 // [Block] +-1, multiplied before; nil: none
}

// Transform replaces x by H(signs*x), block by block.
func (h *Hadamard) Transform(x []float32) {
	for ; len(x) > 0; x = x[h.Block:] {
		h.sign(x[:h.Block])
		hadamard(x[:h.Block])
	}
}

// Inverse replaces what Transform made of x by x.
func (h *Hadamard) Inverse(x []float32) {
	for ; len(x) > 0; x = x[h.Block:] {
		hadamard(x[:h.Block])
		h.sign(x[:h.Block])
	}
}

func (h *Hadamard) sign(x []float32) {
	for i, s := range h.Signs {
		x[i] *= s
	}
}

// hadamard multiplies x, whose length is a power of two, by H.
func hadamard(x []float32) {
	scale := float32(1 / math.Sqrt(float64(len(x))))
	if vectorHadamard(x, scale) {
		return
	}
	for n := 1; n < len(x); n *= 2 {
		for lo := 0; lo < len(x); lo += 2 * n {
			a, b := x[lo:lo+n], x[lo+n:lo+2*n]
			for i, y := range b {
				a[i], b[i] = a[i]+y, a[i]-y
			}
		}
	}
	for i := range x {
		x[i] *= scale
	}
}
