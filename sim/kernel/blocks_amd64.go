//go:build amd64 && !purego

package kernel

import (
	"encoding/binary"
	"unsafe"
)

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
		clear(offset)
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

// spread writes what each 16 channels of a row, given its scales, are multiplied by and what is added where that
// is not 0, for as many as factor holds.
func (b *Blocks) spread(scales []byte, dim int, factor, offset []float32) {
	run := min(b.width(dim)/16, len(factor)) // parts of 16 channels in a block
	if b.width(dim) == dim {
		run = len(factor)
	}
	switch {
	case b.Scale == E4M3Scale && run == 1:
		for i := range factor {
			factor[i] = e4m3Table[scales[i]] * b.Global
		}
		return
	case b.Scale == HalfScale && run == len(factor):
		repeat(factor, halfs[binary.LittleEndian.Uint16(scales)]*b.unit())
		return
	}
	for i, lo := 0, 0; lo < len(factor); i, lo = i+1, lo+run {
		scale, least := b.scale(scales, i)
		end := min(lo+run, len(factor))
		repeat(factor[lo:end], scale*b.unit())
		if least != 0 {
			repeat(offset[lo:end], least)
		}
	}
}

// unit is what the vector form of a code is too small by.
func (b *Blocks) unit() float32 {
	if b.form == formE4M3 {
		return 256
	}
	return 1
}

func repeat(dst []float32, x float32) {
	for i := range dst {
		dst[i] = x
	}
}
