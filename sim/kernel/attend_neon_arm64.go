//go:build arm64 && !purego

package kernel

// Assembly: the functions of attend_neon_arm64.s, which has the loops; dim is a multiple of 16, and
// neither it nor n is 0.

//go:noescape
func dotsF32x4NEON(q *float32, qStride int, rows *byte, stride, n, dim int, out *float32, outStride int)

//go:noescape
func dotsF16x4NEON(q *float32, qStride int, rows *byte, stride, n, dim int, out *float32, outStride int)

//go:noescape
func dotsF32x1NEON(q *float32, rows *byte, stride, n, dim int, out *float32)

//go:noescape
func dotsF16x1NEON(q *float32, rows *byte, stride, n, dim int, out *float32)

//go:noescape
func weightedSumF32x4NEON(p *float32, pStride int, rows *byte, stride, n, dim int, acc *float32, accStride int, rescale *float32)

//go:noescape
func weightedSumF16x4NEON(p *float32, pStride int, rows *byte, stride, n, dim int, acc *float32, accStride int, rescale *float32)

//go:noescape
func weightedSumF32x1NEON(p *float32, rows *byte, stride, n, dim int, acc, rescale *float32)

//go:noescape
func weightedSumF16x1NEON(p *float32, rows *byte, stride, n, dim int, acc, rescale *float32)

// widenNEON widens n halves, a multiple of 16 above 0.
//
//go:noescape
func widenNEON(dst *float32, src *uint16, n int)

// fmaNEON does rounds of sixteen multiply-adds of four floats.
func fmaNEON(rounds int)
