//go:build amd64 && !purego

package kernel

// Dispatch: rows whose scales belong to channels, by the kernels of codes without scales.

// scoreChannels is score where scales belong to channels. With scale s and minimum z of a group of rows,
//
//	q . k[i] = (q*s) . codes[i] + q . z
//
// so that the codes are read as they are, in Balanced rows with the factor of their row, which z is multiplied by too.
func (a *simd) scoreChannels(q []float32, k *Rows, lo, n int, s *Scratch, out []float32, stride int) {
	codes, dim, heads := k.codes(), k.Dim, len(q)/k.Dim
	for i := 0; i < n; {
		g, end := k.groupOf(lo + i)
		m := min(n-i, end-lo-i)
		scale, least := s.scales[:dim], s.mins[:dim]
		k.channelScales(g, scale, least)
		a.scaleUp(scale, &codes)
		for h := range heads {
			a.mulSlices(s.q[h*dim:(h+1)*dim], q[h*dim:], scale)
		}
		a.score(s.q[:heads*dim], &codes, lo+i, m, s, out[i:], stride)
		if k.Min != nil {
			factors := a.tokenFactors(&codes, lo+i, m, s)
			for h := range heads {
				a.axpySlices(a.dotSlices(q[h*dim:(h+1)*dim], least), factors, out[h*stride+i:h*stride+i+m])
			}
		}
		i += m
	}
}

// tokenFactors are what Balanced rows are multiplied by besides the scales of their channels, and ones elsewhere.
func (a *simd) tokenFactors(codes *Rows, lo, n int, s *Scratch) []float32 {
	if codes.Format != Blocked || !codes.Blocks.balanced {
		return s.ones[:n]
	}
	factor, _ := a.blockScales(codes, lo, n, 1, s)
	return factor
}

// scaleUp makes up for what kernels leave of raw codes.
func (a *simd) scaleUp(scale []float32, codes *Rows) {
	if !codes.unscaled() {
		return
	}
	if unit := codes.Blocks.unit(); unit != 1 {
		a.axpySlices(unit-1, scale, scale)
	}
}

// weightedSumChannels is weightedSum where scales belong to channels. Over the rows of a group
//
//	sum of p*v[i] = s * (sum of p*codes[i]) + z * (sum of p)
func (a *simd) weightedSumChannels(p []float32, v *Rows, lo, n int, s *Scratch, acc, rescale []float32) {
	codes, dim, heads := v.codes(), v.Dim, len(rescale)
	rescaleSums(acc, dim, 0, rescale)
	sums := s.q[:heads*dim]
	for i := 0; i < n; {
		g, end := v.groupOf(lo + i)
		m := min(n-i, end-lo-i)
		scale, least := s.scales[:dim], s.mins[:dim]
		clear(sums)
		a.weightedSum(p[i:], &codes, lo+i, m, s, sums, s.ones[:heads])
		v.channelScales(g, scale, least)
		a.scaleUp(scale, &codes)
		factors := a.tokenFactors(&codes, lo+i, m, s)
		for h := range heads {
			part := sums[h*dim : (h+1)*dim]
			a.mulSlices(part, part, scale)
			a.axpySlices(1, part, acc[h*dim:(h+1)*dim])
			if v.Min == nil {
				continue
			}
			sum := a.dotSlices(p[h*block+i:h*block+i+m], factors)
			a.axpySlices(sum, least, acc[h*dim:(h+1)*dim])
		}
		i += m
	}
}
