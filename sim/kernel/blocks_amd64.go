//go:build amd64 && !purego

package kernel

import "unsafe"

// lookUpFunc is the assembly that decodes rows of one form of codes.
type lookUpFunc func(dst *float32, dstStride int, rows *byte, stride, n, dim int, table, scale, least *float32, next *byte)

// floatRows are rows of dim floats in scratch memory.
func floatRows(rows []float32, dim int) Rows {
	data := unsafe.Slice((*byte)(unsafe.Pointer(&rows[0])), 4*len(rows))
	return Rows{Format: F32, Dim: dim, width: dim, Data: data, stride: 4 * dim}
}

// expandBlocks decodes n Blocked rows from row lo on into scratch memory: vectors of neighbouring channels where
// each 16 of them share a scale, and the rest one by one.
func (a *simd) expandBlocks(r *Rows, lo, n int, s *Scratch) Rows {
	rows, b := s.rows[:n*r.Dim], r.Blocks
	dim := r.Dim &^ (packed - 1)
	if w := b.width(r.width); w%16 != 0 && w < r.width {
		dim = 0
	}
	if dim > 0 {
		per := dim / 16
		factor, offset := s.factor[:n*per], s.offset[:n*per]
		codes := codeBytes(b.Bits, r.width)
		for i := range n {
			at := (lo + i) * r.stride
			b.spread(r.Data[at+codes:at+r.stride], r.width, factor[i*per:(i+1)*per], offset[i*per:(i+1)*per])
		}
		for i := range s.entries {
			s.entries[i] = b.Table[i%len(b.Table)]
		}
		a.lookUp[b.form](&rows[0], 4*r.Dim, r.at(lo), r.stride, n, dim, &s.entries[0], &factor[0], &offset[0], prefetch(r, lo, 0, s))
	}
	s.next = nil
	if dim < r.Dim {
		for i := range n {
			r.decodeCodes(lo+i, dim, rows[i*r.Dim+dim:(i+1)*r.Dim])
		}
	}
	return floatRows(rows, r.Dim)
}

// spread writes what each 16 channels of a row, given its scales, are multiplied by and what is added, for as many
// as dst holds.
func (b *Blocks) spread(scales []byte, dim int, factor, offset []float32) {
	width := b.width(dim)
	for lo := 0; lo < len(factor); {
		scale, least := b.scale(scales, lo*16/width)
		if b.form == formE4M3 {
			scale *= 256
		}
		end := min(len(factor), (lo*16/width+1)*width/16)
		if width == dim {
			end = len(factor)
		}
		for ; lo < end; lo++ {
			factor[lo], offset[lo] = scale, least
		}
	}
}
