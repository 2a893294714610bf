package kernel

// Reference: the kernels of float64 matrices.

// tileProductGeneric adds the product of two packed panels to a tile of four rows by four columns:
//
//	out[i*stride+j] += sum over l < k of a[4*l+i] * b[4*l+j]
//
// Two rows are taken at a time, as many sums as there are registers for.
func tileProductGeneric(a, b []float64, k int, out []float64, stride int) {
	for i := 0; i < 4; i += 2 {
		var s0, s1, s2, s3, t0, t1, t2, t3 float64
		for l := range k {
			x, y, row := a[4*l+i], a[4*l+i+1], b[4*l:][:4]
			s0 += x * row[0]
			s1 += x * row[1]
			s2 += x * row[2]
			s3 += x * row[3]
			t0 += y * row[0]
			t1 += y * row[1]
			t2 += y * row[2]
			t3 += y * row[3]
		}
		o := out[i*stride:][:4]
		o[0], o[1], o[2], o[3] = o[0]+s0, o[1]+s1, o[2]+s2, o[3]+s3
		o = out[(i+1)*stride:][:4]
		o[0], o[1], o[2], o[3] = o[0]+t0, o[1]+t1, o[2]+t2, o[3]+t3
	}
}

// stripDotsGeneric adds the inner products of Strip rows of n values with x to sums, two rows at a time.
func stripDotsGeneric(rows []float64, stride, n int, x, sums []float64) {
	x = x[:n]
	for i := 0; i < Strip; i += 2 {
		a, b := rows[i*stride:][:n], rows[(i+1)*stride:][:n]
		var s, t float64
		for c, by := range x {
			s += a[c] * by
			t += b[c] * by
		}
		sums[i] += s
		sums[i+1] += t
	}
}

// stripAxpysGeneric adds Strip rows of n values, each times its weight, to y.
func stripAxpysGeneric(rows []float64, stride, n int, y, weights []float64) {
	y = y[:n]
	for i := 0; i < Strip; i += 2 {
		a, b := rows[i*stride:][:n], rows[(i+1)*stride:][:n]
		v, w := weights[i], weights[i+1]
		for c := range y {
			y[c] += v*a[c] + w*b[c]
		}
	}
}

// stripGeneric does what both functions above do, in one pass.
func stripGeneric(rows []float64, stride, n int, x, sums, y, weights []float64) {
	x, y = x[:n], y[:n]
	for i := 0; i < Strip; i += 2 {
		a, b := rows[i*stride:][:n], rows[(i+1)*stride:][:n]
		v, w := weights[i], weights[i+1]
		var s, t float64
		for c, by := range x {
			s += a[c] * by
			t += b[c] * by
			y[c] += v*a[c] + w*b[c]
		}
		sums[i] += s
		sums[i+1] += t
	}
}
