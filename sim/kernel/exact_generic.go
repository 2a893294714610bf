package kernel

import "math"

// Reference: the kernels of float64 attention.

// productGeneric adds the product of two matrices to a third, in float64:
//
//	out[s*outStride+c] += sum over i of a[s*n+i] * b[i*bStride+c], c < cols
//
// Four rows of b are taken at a time, so that an element of out is loaded and stored a quarter as often.
func productGeneric(a []float64, n int, b []float32, bStride, cols int, out []float64, outStride int) {
	for s := range len(a) / n {
		o := out[s*outStride:][:cols]
		i := 0
		for ; i+4 <= n; i += 4 {
			w := a[s*n+i : s*n+i+4]
			b0, b1 := b[i*bStride:][:cols], b[(i+1)*bStride:][:cols]
			b2, b3 := b[(i+2)*bStride:][:cols], b[(i+3)*bStride:][:cols]
			for c := range o {
				o[c] += w[0]*float64(b0[c]) + w[1]*float64(b1[c]) + (w[2]*float64(b2[c]) + w[3]*float64(b3[c]))
			}
		}
		for ; i < n; i++ {
			for c, x := range b[i*bStride:][:cols] {
				o[c] += a[s*n+i] * float64(x)
			}
		}
	}
}

// exps64Generic fills dst with e^(src-shift) and returns its sum.
func exps64Generic(dst, src []float64, shift float64) (sum float64) {
	src = src[:len(dst)]
	for i, x := range src {
		dst[i] = math.Exp(x - shift)
		sum += dst[i]
	}
	return sum
}
