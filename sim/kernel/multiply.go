package kernel

// Multiply computes the products of vectors with the rows of a matrix:
//
//	out[s*stride+i] = x[s] . m[i]
//
// x is [vectors][cols] and m [rows][cols]. Rows go by blocks, and each is read once for several vectors. It
// allocates nothing, and an element of out does not depend on what is computed beside it.
func Multiply(x, m []float32, cols int, out []float32, stride int) {
	rows := len(m) / cols
	for lo := 0; lo < rows; lo += block {
		n := min(block, rows-lo)
		active.multiply(x, cols, m[lo*cols:(lo+n)*cols], out[lo:], stride)
	}
}
