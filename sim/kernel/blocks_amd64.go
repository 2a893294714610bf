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
	dim := min(r.Dim, r.width) &^ (packed - 1)
	if w := b.width(r.width); w%16 != 0 && w < r.width {
		dim = 0
	}
	if dim > 0 {
		per := dim / 16
		factor, offset := s.factor[:n*per], s.offset[:n*per]
		unit := float32(1) // by which the vector form of a code is too small
		if b.form == formE4M3 {
			unit = 256
		}
		b.spread(r, lo, n, 16, unit, factor, offset)
		look := func(dst *float32, table []float32, next *byte) {
			for i := range s.entries {
				s.entries[i] = table[i%len(table)]
			}
			a.lookUp[b.form](dst, 4*r.Dim, r.at(lo), r.stride, n, dim, &s.entries[0], &factor[0], &offset[0], next)
		}
		look(&rows[0], b.Table, prefetch(r, lo, 0, s))
		if dim == r.width && r.Dim > r.width {
			for i := range n {
				spreadOne(factor, i*per, per, b.Sketch.length(b, r.Data[(lo+i)*r.stride:]))
			}
			look(&rows[dim], b.Sketch.table, r.at(lo))
			dim = r.Dim
		}
	}
	s.next = nil
	if dim < r.Dim {
		for i := range n {
			r.decodeCodes(lo+i, dim, rows[i*r.Dim+dim:(i+1)*r.Dim])
		}
	}
	return floatRows(rows, r.Dim)
}

// nibbles says whether blocks are Int4 in all but where their scales lie: evenly spaced values, whole groups of
// channels. In a tile the memory for such scales holds those of the channels.
func (b *Blocks) nibbles(dim int) bool {
	w := b.width(dim)
	return b.Bits == 4 && !b.tile && b.Table[15]-b.Table[0] == 15 && b.Table[1]-b.Table[0] == 1 && (w%GroupDim == 0 || w == dim)
}

// nibbleScales writes the scales and minima of n rows of such blocks as those of Int4.
func (r *Rows) nibbleScales(lo, n int, s *Scratch) (scale, least *float32, groups int) {
	groups = r.Dim / GroupDim
	scales, mins := s.scales[:n*groups], s.mins[:n*groups]
	r.Blocks.spread(r, lo, n, GroupDim, 1, scales, mins)
	if zero := r.Blocks.Table[0]; zero != 0 {
		for i, x := range scales {
			mins[i] += float32(x * zero)
		}
	}
	return &scales[0], &mins[0], groups
}

// spread writes what each part of so many channels is multiplied by, times unit, and what is added, as many parts
// to each of n rows as the two have room for.
func (b *Blocks) spread(r *Rows, lo, n, channels int, unit float32, factor, offset []float32) {
	clear(offset)
	per := len(factor) / n
	run := min(max(1, b.width(r.width)/channels), per) // parts in a block
	codes := codeBytes(b.Bits, r.width)
	if b.Scale == NoScale {
		spreadOne(factor, 0, len(factor), unit)
		return
	}
	for i := range n {
		at := (lo+i)*r.stride + codes
		scales, to, add := r.Data[at:at+r.stride-codes], factor[i*per:(i+1)*per], offset[i*per:(i+1)*per]
		switch {
		case b.Scale == E4M3Scale && run == 1:
			for c := range to {
				to[c] = e4m3Table[scales[c]] * b.Global
			}
		case b.Scale == HalfScale:
			for c := 0; c < per; c += run {
				spreadOne(to, c, run, halfs[binary.LittleEndian.Uint16(scales[c/run*2:])]*unit)
			}
		default:
			for c := 0; c < per; c += run {
				scale, least := b.scale(scales, c/run)
				spreadOne(to, c, run, scale*unit)
				spreadOne(add, c, run, least)
			}
		}
	}
}

// spreadOne writes x to as many as run elements from at on.
func spreadOne(dst []float32, at, run int, x float32) {
	for c := at; c < min(at+run, len(dst)); c++ {
		dst[c] = x
	}
}
