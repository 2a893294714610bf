//go:build amd64 && !purego

package kernel

import "unsafe"

// Dispatch: products of matrices by the kernels of dot products.

// multiply computes the products of vectors with rows: dots of several vectors at a time.
func (a *simd) multiply(x []float32, cols int, m, out []float32, stride int) {
	vectors, n, dim := len(x)/cols, len(m)/cols, cols&^15
	_ = out[:(vectors-1)*stride+n]
	if dim > 0 {
		rows := (*byte)(unsafe.Pointer(&m[0]))
		h := 0
		for _, t := range a.tiles {
			for ; h+t.heads <= vectors; h += t.heads {
				t.dots[F32](&x[h*cols], 4*cols, rows, 4*cols, n, dim, &out[h*stride], 4*stride, nil, nil, 0, rows)
			}
		}
	}
	if dim == cols {
		return
	}
	for h := range vectors {
		for i := range n {
			sum := dot(x[h*cols+dim:(h+1)*cols], m[i*cols+dim:(i+1)*cols])
			if dim > 0 {
				sum += out[h*stride+i]
			}
			out[h*stride+i] = sum
		}
	}
}
