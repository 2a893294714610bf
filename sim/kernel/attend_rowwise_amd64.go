//go:build amd64 && !purego

package kernel

// Dispatch: rows of one scale and one minimum each, which kernels read as codes alone. With scale s and minimum z of a row
//
//	q . k[i]        = s[i]*(q . codes[i]) + z[i]*(sum of q)
//	sum of p*v[i]   = sum of (p*s)*codes[i] + sum of p*z

// scaleLogits makes logits of the products of the rows' codes, of which kernels read the first dim channels.
func (a *simd) scaleLogits(q []float32, k *Rows, lo, n, dim int, s *Scratch, out []float32, stride int) {
	factor, offset := a.rowwiseScales(k, lo, n, s)
	for h := range len(q) / k.Dim {
		logits := out[h*stride : h*stride+n]
		a.mulSlices(logits, logits, factor)
		if offset != nil {
			a.axpySlices(a.dotSlices(q[h*k.Dim:h*k.Dim+dim], s.ones), offset, logits)
		}
	}
}

// rowwiseScales returns the scales of n rows and their minima, nil where there are none.
func (a *simd) rowwiseScales(r *Rows, lo, n int, s *Scratch) (factor, offset []float32) {
	if r.Blocks.Scale == NoScale {
		setAll(s.factor[:n], r.fixed())
		return s.factor[:n], nil
	}
	factor, offset = a.blockScales(r, lo, n, 1, s)
	if !r.Blocks.Scale.hasMin() {
		offset = nil
	}
	return factor, offset
}

// scaledRows returns the probabilities of a tile of heads, [heads][block], times the scales of their rows.
func (a *simd) scaledRows(p, factor []float32, heads int, s *Scratch) []float32 {
	for h := range heads {
		a.mulSlices(s.scaledProbs[h*block:h*block+len(factor)], p[h*block:], factor)
	}
	return s.scaledProbs
}

// addOffsets adds the rows' minima, weighted by each head's probabilities, to the first dim channels of its sum.
func (a *simd) addOffsets(p, offset, acc []float32, width, dim int, s *Scratch) {
	if offset == nil {
		return
	}
	for h := range len(acc) / width {
		a.axpySlices(a.dotSlices(offset, p[h*block:]), s.ones[:dim], acc[h*width:])
	}
}

// nibbles are the values of Int4 without scales.
var nibbles = counting(4)

// table is what the codes of rows name entries of, repeated up to 16; nil where kernels take none.
func (s *Scratch) table(r *Rows, f Format) *float32 {
	if f < readNibble {
		return nil
	}
	t := nibbles
	if r.Format == Blocked {
		t = r.Blocks.Table
	}
	for at := 0; at < len(s.entries); at += len(t) {
		copy(s.entries[at:], t)
	}
	return &s.entries[0]
}
