//go:build amd64 && !purego

package kernel

// scoreChannels is score where scales belong to channels. With scale s and minimum z of a group of rows,
//
//	q . k[i] = (q*s) . codes[i] + q . z
//
// so that the codes are read as they are, in a tile with the factor of their row, which z is multiplied by too.
func (a *simd) scoreChannels(q []float32, k *Rows, lo, n int, s *Scratch, out []float32, stride int) {
	codes, dim, heads := k.codes(), k.Dim, len(q)/k.Dim
	for i := 0; i < n; {
		g, end := k.groupOf(lo + i)
		m := min(n-i, end-lo-i)
		scale, least := s.scales[:dim], s.mins[:dim]
		a.floats(scale, k.Scale[g*k.width:])
		for h := range heads {
			a.times(s.q[h*dim:(h+1)*dim], q[h*dim:], scale)
		}
		if k.Min != nil {
			a.floats(least, k.Min[g*k.width:])
		}
		a.score(s.q[:heads*dim], &codes, lo+i, m, s, out[i:], stride)
		if k.Min != nil {
			factors := s.kScale[:m]
			for j := range factors {
				factors[j] = k.factor(lo + i + j)
			}
			for h := range heads {
				a.plus(a.inner(q[h*dim:(h+1)*dim], least), factors, out[h*stride+i:h*stride+i+m])
			}
		}
		i += m
	}
}

// weighChannels is weigh where scales belong to channels. Over the rows of a group
//
//	sum of p*v[i] = s * (sum of p*codes[i]) + z * (sum of p)
func (a *simd) weighChannels(p []float32, v *Rows, lo, n int, s *Scratch, acc, fade []float32) {
	codes, dim, heads := v.codes(), v.Dim, len(fade)
	for h, c := range fade {
		for d := h * dim; d < (h+1)*dim; d++ {
			acc[d] *= c
		}
	}
	sums := s.q[:heads*dim]
	for i := 0; i < n; {
		g, end := v.groupOf(lo + i)
		m := min(n-i, end-lo-i)
		scale, least := s.scales[:dim], s.mins[:dim]
		clear(sums)
		a.weigh(p[i:], &codes, lo+i, m, s, sums, s.ones[:heads])
		a.floats(scale, v.Scale[g*v.width:])
		if v.Min != nil {
			a.floats(least, v.Min[g*v.width:])
		}
		for h := range heads {
			part, sum := sums[h*dim:(h+1)*dim], float32(0)
			a.times(part, part, scale)
			a.plus(1, part, acc[h*dim:(h+1)*dim])
			if v.Min == nil {
				continue
			}
			for j, x := range p[h*block+i : h*block+i+m] {
				sum += float32(x * v.factor(lo+i+j))
			}
			a.plus(sum, least, acc[h*dim:(h+1)*dim])
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
