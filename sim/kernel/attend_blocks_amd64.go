//go:build amd64 && !purego

package kernel

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// Dispatch: Blocked rows, whose codes are decoded by table, or read as Int4 where they lie as Int4 does.

// lookUpFunc is the assembly that decodes rows of one form of codes. half, round and behind are steps, in bytes.
type lookUpFunc func(dst *float32, dstStride int, rows *byte, stride, n, dim int, table, scale, least *float32, half, round, behind int, next *byte)

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
		factor, offset := a.blockScales(r, lo, n, b.unit(), s)
		if first := b.Table[0]; b.form.counts() && first != 0 {
			a.axpySlices(first, factor, offset)
		}
		step := b.steps(r.width, dim)
		if step.repeated {
			per, run := dim/16, b.width(r.width)/16
			factor, offset = repeatBlocks(s.factor, n, len(factor)/n, per, run), repeatBlocks(s.offset, n, len(offset)/n, per, run)
		}
		look := func(dst *float32, table []float32, step steps, next *byte) {
			for i := range s.entries {
				s.entries[i] = table[i%len(table)]
			}
			a.lookUp[b.form](dst, 4*r.Dim, r.at(lo), r.stride, n, dim, &s.entries[0], &factor[0], &offset[0], 4*step.half, 4*step.round, 4*step.behind, next)
		}
		look(&rows[0], b.Table, step, prefetch(r, lo, 0, s))
		if dim == r.width && r.Dim > r.width {
			for i := range n {
				factor[i] = b.Sketch.length(b, r.Data[(lo+i)*r.stride:])
			}
			look(&rows[dim], b.Sketch.table, steps{behind: 1}, r.at(lo))
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
// channels. In Balanced rows the memory for such scales holds those of the channels.
func (b *Blocks) nibbles(dim int) bool {
	w := b.width(dim)
	return b.Bits == 4 && !b.balanced && b.Table[15]-b.Table[0] == 15 && b.Table[1]-b.Table[0] == 1 && (w%GroupDim == 0 || w == dim)
}

// nibbleScales writes the scales and minima of n rows of such blocks as those of Int4.
func (a *simd) nibbleScales(r *Rows, lo, n int, s *Scratch) (scale, least *float32, groups int) {
	factor, offset := a.blockScales(r, lo, n, 1, s)
	groups = len(factor) / n
	switch w := r.Blocks.width(r.width); {
	case r.Blocks.Scale == NoScale:
		groups = r.Dim / GroupDim
		factor, offset = repeatBlocks(s.factor, 1, 1, n*groups, n*groups), repeatBlocks(s.offset, 1, 1, n*groups, n*groups)
	case w != GroupDim:
		blocks, run := groups, max(1, w/GroupDim)
		groups = r.Dim / GroupDim
		factor, offset = repeatBlocks(s.factor, n, blocks, groups, run), repeatBlocks(s.offset, n, blocks, groups, run)
	}
	if zero := r.Blocks.Table[0]; zero != 0 {
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
	first := lo*r.stride + codeBytes(b.Bits, r.width)
	switch b.Scale {
	case HalfScale:
		a.halfScales(factor, r, first, n, s)
		clear(offset)
	case HalfMin:
		pairs := s.pairs[:2*len(factor)]
		a.halfScales(pairs, r, first, n, s)
		for i := range factor {
			factor[i], offset[i] = pairs[2*i], pairs[2*i+1]
		}
	case E4M3Scale:
		for i := range n {
			for c, u := range r.Data[first+i*r.stride:][:blocks] {
				factor[i*blocks+c] = e4m3Table[u] * b.Global
			}
		}
		clear(offset)
	case BF16Min, BF16Zero:
		for i := range n {
			for c, src := 0, r.Data[first+i*r.stride:]; c < blocks; c, src = c+1, src[4:] {
				factor[i*blocks+c], offset[i*blocks+c] = fromBF16(src), fromBF16(src[2:])
			}
		}
		if b.Scale == BF16Zero {
			for i, f := range factor {
				offset[i] *= -f
			}
		}
	case FloatZero:
		for i := range n {
			for c, src := 0, r.Data[first+i*r.stride:]; c < blocks; c, src = c+1, src[8:] {
				f := math.Float32frombits(binary.LittleEndian.Uint32(src))
				factor[i*blocks+c], offset[i*blocks+c] = f, -f*math.Float32frombits(binary.LittleEndian.Uint32(src[4:]))
			}
		}
	case ZeroScale: // of a whole row
		for i := range factor {
			u := binary.LittleEndian.Uint32(r.Data[first+i*r.stride:])
			factor[i] = math.Float32frombits(u)
			offset[i] = -factor[i] * float32(u&15)
		}
	default:
		for i := range n {
			for c := range blocks {
				factor[i*blocks+c], offset[i*blocks+c] = b.scale(r.Data[first+i*r.stride:], c)
			}
		}
	}
	if unit != 1 {
		for i := range factor {
			factor[i] *= unit
		}
	}
	return factor, offset
}

// halfScales widens the halves that stand at byte first of a row and at the same place of the n-1 rows after it, as
// many in each row as fill dst.
func (a *simd) halfScales(dst []float32, r *Rows, first, n int, s *Scratch) {
	halves := s.halves[:len(dst)]
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&halves[0])), 2*len(halves))
	size := len(bytes) / n
	for i := range n {
		to, from := bytes[i*size:(i+1)*size], r.Data[first+i*r.stride:]
		for ; len(to) >= 8; to, from = to[8:], from[8:] {
			binary.LittleEndian.PutUint64(to, binary.LittleEndian.Uint64(from))
		}
		if len(to) == 4 {
			binary.LittleEndian.PutUint32(to, binary.LittleEndian.Uint32(from))
			continue
		}
		copy(to, from)
	}
	a.floats(dst, halves)
}

// steps is how far the scale of a round of 32 channels is from the one before: of its second half from the first, of
// the next round, and behind a row's last.
type steps struct {
	half, round, behind int
	repeated            bool // blocks are to be repeated for each 16 channels first
}

// steps are those of the first dim channels of rows of width.
func (b *Blocks) steps(width, dim int) steps {
	blocks := b.blocks(width)
	switch w := b.width(width); {
	case b.Scale == NoScale:
		return steps{}
	case w >= width:
		return steps{behind: 1}
	case w == 32:
		return steps{round: 1, behind: blocks - dim/32}
	case w == 16:
		return steps{half: 1, round: 2, behind: blocks - dim/16}
	}
	return steps{half: 1, round: 2, repeated: true}
}

// repeatBlocks repeats, in place, each of the blocks of n rows, [n][blocks], for run parts: [n][per], not fewer.
func repeatBlocks(x []float32, n, blocks, per, run int) []float32 {
	if blocks == 1 && per == 2 {
		x = x[:2*n]
		for i := n - 1; i >= 0; i-- {
			value := x[i]
			x[2*i], x[2*i+1] = value, value
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
