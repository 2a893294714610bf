//go:build amd64 && !purego

package kernel

import (
	"math"
	"unsafe"
)

// Dispatch: the scales of Blocked rows, which stand behind the codes of each row, as the assembly takes them: side by side.

// groupScales writes the scales and minima of n rows as those of groups.
func (a *simd) groupScales(r *Rows, read reading, lo, n int, s *Scratch) (scale, least *float32, groups int) {
	groups = r.Dim / read.group
	factor, offset := s.factor[:n*groups], s.offset[:n*groups]
	switch w := r.Blocks.width(r.width); {
	case r.unscaled():
		setAll(factor, 1)
		clear(offset)
	case r.Blocks.Scale == NoScale:
		setAll(factor, r.fixed())
		clear(offset)
	default:
		factor, offset = a.blockScales(r, lo, n, 1, s)
		blocks := len(factor) / n
		if w == read.group {
			groups = blocks
			break
		}
		run := max(1, w/read.group)
		factor, offset = repeatBlocks(s.factor, n, blocks, groups, run), repeatBlocks(s.offset, n, blocks, groups, run)
	}
	if zero := r.Blocks.Table[0]; zero != 0 && read.format < readNibble { // the others have it in their table
		a.axpySlices(zero, factor, offset)
	}
	return &factor[0], &offset[0], groups
}

// blockScales returns what the codes of each block of n rows are multiplied by, times unit, and what is added,
// [n][blocks] in scratch memory. Without scales there is one of each.
func (a *simd) blockScales(r *Rows, lo, n int, unit float32, s *Scratch) (factor, offset []float32) {
	b := r.Blocks
	if b.Scale == NoScale {
		s.factor[0], s.offset[0] = unit*r.fixed(), 0
		return s.factor[:1], s.offset[:1]
	}
	blocks := b.blocks(r.width)
	factor, offset = s.factor[:n*blocks], s.offset[:n*blocks]
	stored := Memory(s.halves)[:len(factor)*b.Scale.bytes()]
	gather(stored, r, lo, n)
	switch b.Scale {
	case HalfScale:
		a.floats(factor, s.halves)
		clear(offset)
	case HalfMin:
		scales, mins := s.pairs[:len(factor)], s.pairs[len(factor):2*len(factor)]
		for i, u := range words(stored) {
			scales[i], mins[i] = uint16(u), uint16(u>>16)
		}
		a.floats(factor, scales)
		a.floats(offset, mins)
	case E4M3Scale:
		s.entries[0], s.entries[1] = 256*b.Global, 0
		a.lookUp[formE4M3](&factor[0], 0, &stored[0], 0, 1, (len(factor)+packed-1)&^(packed-1), nil, &s.entries[0], &s.entries[1], 0, 0, 0, &stored[0])
		clear(offset)
	case E8M0Scale:
		a.powers(&factor[0], &stored[0], (len(factor)+15)&^15)
		clear(offset)
	case BF16Min, BF16Zero:
		for i, u := range words(stored) {
			factor[i], offset[i] = math.Float32frombits(u<<16), math.Float32frombits(u&^0xffff)
		}
		if b.Scale == BF16Zero {
			for i, f := range factor {
				offset[i] *= -f
			}
		}
	case FloatScale:
		copy(Memory(factor), stored)
		clear(offset)
	case FloatZero:
		for i, u := range words(stored) {
			if i%2 == 0 {
				factor[i/2] = math.Float32frombits(u)
			} else {
				offset[i/2] = -factor[i/2] * math.Float32frombits(u)
			}
		}
	case ZeroScale:
		for i, u := range words(stored) {
			factor[i] = math.Float32frombits(u)
			offset[i] = -factor[i] * float32(u&15)
		}
	}
	if unit != 1 {
		for i := range factor {
			factor[i] *= unit
		}
	}
	return factor, offset
}

// words are the bytes as numbers of 32 bits.
func words(x []byte) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(&x[0])), len(x)/4)
}

// gather copies the scales of n rows from row lo on next to each other.
func gather(dst []byte, r *Rows, lo, n int) {
	size := len(dst) / n
	src := r.Data[lo*r.stride+codeBytes(r.Blocks.Bits, r.width):][:(n-1)*r.stride+size]
	switch {
	case size%8 == 0:
		gatherWords[uint64](&dst[0], &src[0], r.stride, n, size/8)
	case size%4 == 0:
		gatherWords[uint32](&dst[0], &src[0], r.stride, n, size/4)
	case size%2 == 0:
		gatherWords[uint16](&dst[0], &src[0], r.stride, n, size/2)
	default:
		gatherWords[byte](&dst[0], &src[0], r.stride, n, size)
	}
}

// gatherWords copies per words of each of n rows, which are stride bytes apart.
func gatherWords[T any](dst, src *byte, stride, n, per int) {
	var word T
	size := int(unsafe.Sizeof(word))
	if per == 1 {
		for i := range n {
			*(*T)(unsafe.Add(unsafe.Pointer(dst), i*size)) = *(*T)(unsafe.Add(unsafe.Pointer(src), i*stride))
		}
		return
	}
	for i := range n {
		to, from := unsafe.Add(unsafe.Pointer(dst), i*per*size), unsafe.Add(unsafe.Pointer(src), i*stride)
		for c := range per {
			*(*T)(unsafe.Add(to, c*size)) = *(*T)(unsafe.Add(from, c*size))
		}
	}
}

// repeatBlocks repeats, in place, each of the blocks of n rows, [n][blocks], for run parts: [n][per], not fewer.
func repeatBlocks(x []float32, n, blocks, per, run int) []float32 {
	if blocks*run == per {
		n, blocks, per = n*blocks, 1, run
	}
	if blocks == 1 && per == 2 {
		x = x[:2*n]
		for i := n - 1; i >= 0; i-- {
			value := x[i]
			x[2*i], x[2*i+1] = value, value
		}
		return x
	}
	if blocks == 1 && per == 4 {
		x = x[:4*n]
		for i := n - 1; i >= 0; i-- {
			value := x[i]
			x[4*i], x[4*i+1], x[4*i+2], x[4*i+3] = value, value, value, value
		}
		return x
	}
	for i := n - 1; i >= 0; i-- {
		row := x[i*per : (i+1)*per]
		for b := blocks - 1; b >= 0; b-- {
			at, value := min(b*run, len(row)), x[i*blocks+b]
			for c := at; c < len(row); c++ {
				row[c] = value
			}
			row = row[:at]
		}
	}
	return x[:n*per]
}
