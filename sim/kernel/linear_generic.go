package kernel

// Reference: the kernel of Linear.

// tileLinearGeneric adds the product of four rows with a packed panel to a tile of four columns:
//
//	out[i*outStride+j] += sum over l < k of x[i*stride+l] * w[4*l+j]
func tileLinearGeneric(x []float32, stride int, w []float32, k int, out []float32, outStride int) {
	for i := range 4 {
		var s0, s1, s2, s3 float32
		for l, by := range x[i*stride:][:k] {
			row := w[4*l:][:4]
			s0 += by * row[0]
			s1 += by * row[1]
			s2 += by * row[2]
			s3 += by * row[3]
		}
		o := out[i*outStride:][:4]
		o[0], o[1], o[2], o[3] = o[0]+s0, o[1]+s1, o[2]+s2, o[3]+s3
	}
}
