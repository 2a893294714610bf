//go:build amd64 && !purego

package kernel

// scoreChannels is score where scales belong to channels. With scale s and minimum z of a group of rows,
//
//	q . k[i] = (q*s) . codes[i] + q . z
//
// so that the codes are read as they are.
func (a *simd) scoreChannels(q []float32, k *Rows, lo, n int, s *Scratch, out []float32, stride int) {
	codes, dim, heads := k.codes(), k.Dim, len(q)/k.Dim
	for i := 0; i < n; {
		g := (lo + i) / k.Tokens
		m := min(n-i, (g+1)*k.Tokens-lo-i)
		scale, least := s.scales[:dim], s.mins[:dim]
		a.floats(scale, k.Scale[g*dim:])
		for h := range heads {
			a.times(s.q[h*dim:(h+1)*dim], q[h*dim:], scale)
		}
		if k.Format == Int4 {
			a.floats(least, k.Min[g*dim:])
		}
		a.score(s.q[:heads*dim], &codes, lo+i, m, s, out[i:], stride)
		if k.Format == Int4 {
			for h := range heads {
				a.plus(a.inner(q[h*dim:(h+1)*dim], least), s.ones[:m], out[h*stride+i:h*stride+i+m])
			}
		}
		i += m
	}
}

// times sets dst to x*y.
func (a *simd) times(dst, x, y []float32) {
	x, y = x[:len(dst)], y[:len(dst)]
	whole := len(dst) &^ 15
	if whole > 0 {
		a.mul(&dst[0], &x[0], &y[0], whole)
	}
	for i := whole; i < len(dst); i++ {
		dst[i] = x[i] * y[i]
	}
}
