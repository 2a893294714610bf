//go:build arm64 && !purego

package kernel

import "unsafe"

// Dispatch: attention by the assembly of NEON, four heads at a time and the rest one by one. Columns beyond the last
// whole step of sixteen are left to the reference.

// vectorRows are rows that the assembly reads, but for what columns they have beyond whole steps of sixteen.
type vectorRows struct {
	dim, cols int // cols are those of whole steps
	first     *byte
	stride    int  // bytes
	half      bool // binary16

	floats []float32 // the rows, where they are floats in scratch memory
	rows   *Rows     // else the store, and
	lo     int       // where in it they begin
}

// vectors returns n rows from row lo on, where the assembly can read them.
func (r *Rows) vectors(lo, n int) (v vectorRows, ok bool) {
	if r.Tokens > 0 || r.Format != F16 && r.Format != F32 {
		return v, false
	}
	first := &r.Data[lo*r.stride : (lo+n)*r.stride][0]
	return vectorRows{dim: r.Dim, cols: r.Dim &^ 15, first: first, stride: r.stride, half: r.Format == F16, rows: r, lo: lo}, true
}

// floatVectors are rows of dim floats.
func floatVectors(rows []float32, dim int) vectorRows {
	return vectorRows{dim: dim, cols: dim &^ 15, first: (*byte)(unsafe.Pointer(&rows[0])), stride: 4 * dim, floats: rows}
}

// rest writes the columns of row i beyond whole steps.
func (v *vectorRows) rest(i int, dst []float32) {
	if v.rows != nil {
		v.rows.decode(v.lo+i, v.cols, dst)
		return
	}
	copy(dst, v.floats[i*v.dim+v.cols:])
}

// scoreNEON computes the logits of n rows, which are decoded before where the assembly does not read them.
func scoreNEON(q []float32, k *Rows, lo, n int, s *Scratch, out []float32, stride int) {
	v, ok := k.vectors(lo, n)
	if !ok {
		v = floatVectors(k.keys(lo, n, s), k.Dim)
	}
	v.dots(q, n, out, stride)
}

// multiplyNEON computes the logits of decoded rows.
func multiplyNEON(q []float32, dim int, rows, out []float32, stride int) {
	v := floatVectors(rows, dim)
	v.dots(q, len(rows)/dim, out, stride)
}

// dots computes the logits of n rows.
func (v *vectorRows) dots(q []float32, n int, out []float32, stride int) {
	heads := len(q) / v.dim
	_ = out[:(heads-1)*stride+n]
	four, one := dotsF32x4NEON, dotsF32x1NEON
	if v.half {
		four, one = dotsF16x4NEON, dotsF16x1NEON
	}
	h := 0
	for ; v.cols > 0 && h+4 <= heads; h += 4 {
		four(&q[h*v.dim], 4*v.dim, v.first, v.stride, n, v.cols, &out[h*stride], 4*stride)
	}
	for ; v.cols > 0 && h < heads; h++ {
		one(&q[h*v.dim], v.first, v.stride, n, v.cols, &out[h*stride])
	}
	if v.cols == v.dim {
		return
	}
	var room [15]float32
	rest := room[:v.dim-v.cols]
	for i := range n {
		v.rest(i, rest)
		scoreRow(q, v.dim, v.cols, rest, out[i:], stride)
	}
}

// weightedSumNEON adds the weighted sum of n rows to each head's, which is rescaled before.
func weightedSumNEON(p []float32, r *Rows, lo, n int, s *Scratch, acc, rescale []float32) {
	heads := len(rescale)
	_, _ = p[:(heads-1)*block+n], acc[:heads*r.Dim]
	v, ok := r.vectors(lo, n)
	if !ok {
		v = floatVectors(r.values(lo, n, s), r.Dim)
	}
	four, one := weightedSumF32x4NEON, weightedSumF32x1NEON
	if v.half {
		four, one = weightedSumF16x4NEON, weightedSumF16x1NEON
	}
	h := 0
	for ; v.cols > 0 && h+4 <= heads; h += 4 {
		four(&p[h*block], 4*block, v.first, v.stride, n, v.cols, &acc[h*v.dim], 4*v.dim, &rescale[h])
	}
	for ; v.cols > 0 && h < heads; h++ {
		one(&p[h*block], v.first, v.stride, n, v.cols, &acc[h*v.dim], &rescale[h])
	}
	if v.cols == v.dim {
		return
	}
	var room [15]float32
	rest := room[:v.dim-v.cols]
	rescaleSums(acc, v.dim, v.cols, rescale)
	for i := range n {
		v.rest(i, rest)
		addRow(p[i:], rest, acc, v.dim, v.cols)
	}
}

// dotNEON returns the inner product of a and b.
func dotNEON(a, b []float32) (sum float32) {
	b = b[:len(a)]
	n := len(a) &^ 15
	if n > 0 {
		dotsF32x1NEON(&a[0], (*byte)(unsafe.Pointer(&b[0])), 0, 1, n, &sum)
	}
	return sum + dot(a[n:], b[n:])
}

// axpyNEON adds p*x to y.
func axpyNEON(p float32, x, y []float32) {
	y = y[:len(x)]
	n := len(x) &^ 15
	if n > 0 {
		weightedSumF32x1NEON(&p, (*byte)(unsafe.Pointer(&x[0])), 0, 1, n, &y[0], &ones[0])
	}
	axpy(p, x[n:], y[n:])
}

// floatsNEON widens as many values of src as dst holds.
func floatsNEON(dst []float32, src []uint16) {
	src = src[:len(dst)]
	n := len(dst) &^ 15
	if n > 0 {
		widenNEON(&dst[0], &src[0], n)
	}
	floats(dst[n:], src[n:])
}
