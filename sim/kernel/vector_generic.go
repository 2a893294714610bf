package kernel

import "encoding/binary"

// Reference: vectors.

// dot returns the sum over i of a[i]*b[i], in portable Go, in four partial sums.
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

// squares adds to sums the squared lengths of rows [len(sums)][dim].
func squares(sums []float64, rows []float32, dim int) {
	for i := range sums {
		x := rows[i*dim : (i+1)*dim]
		sums[i] += float64(dot(x, x))
	}
}

// axpy adds p*x to y, in portable Go.
func axpy(p float32, x, y []float32) {
	y = y[:len(x)]
	i := 0
	for ; i+4 <= len(x); i += 4 {
		y[i] += p * x[i]
		y[i+1] += p * x[i+1]
		y[i+2] += p * x[i+2]
		y[i+3] += p * x[i+3]
	}
	for ; i < len(x); i++ {
		y[i] += p * x[i]
	}
}

// maxInto raises y to x where x is larger.
func maxInto(x, y []float32) {
	for i, v := range x {
		y[i] = max(y[i], v)
	}
}

// minInto lowers y to x where x is smaller.
func minInto(x, y []float32) {
	for i, v := range x {
		y[i] = min(y[i], v)
	}
}

// encodeF16 rounds src into dst, two little-endian bytes each, and reports whether every value stayed finite.
func encodeF16(dst []byte, src []float32) (finite bool) {
	finite = true
	for i, f := range src {
		u := Half(f)
		binary.LittleEndian.PutUint16(dst[2*i:], u)
		finite = finite && finite16(u)
	}
	return finite
}

// encodeF16Of rounds the rows of src [...][dim] that rows names into dst, as encodeF16 does.
func encodeF16Of(dst []byte, src []float32, dim int, rows []int32) (finite bool) {
	finite = true
	for i, r := range rows {
		finite = encodeF16(dst[2*i*dim:2*(i+1)*dim], src[int(r)*dim:(int(r)+1)*dim]) && finite
	}
	return finite
}

// floats widens as many values of src as dst holds.
func floats(dst []float32, src []uint16) {
	src = src[:len(dst)]
	for i, u := range src {
		dst[i] = halfs[u]
	}
}
