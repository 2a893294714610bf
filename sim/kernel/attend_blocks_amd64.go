//go:build amd64 && !purego

package kernel

import "unsafe"

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
		factor, offset, step := a.expandScales(r, lo, n, dim, s)
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

// expandScales are what codes are decoded by, and how far they are apart. Where the scale is left to the softmax it is 1.
func (a *simd) expandScales(r *Rows, lo, n, dim int, s *Scratch) (factor, offset []float32, step steps) {
	if r.unscaled() {
		return s.ones, s.zeros, steps{}
	}
	b := r.Blocks
	factor, offset = a.blockScales(r, lo, n, b.unit(), s)
	if first := b.Table[0]; b.form.counts() && first != 0 {
		a.axpySlices(first, factor, offset)
	}
	if step = b.steps(r.width, dim); step.repeated {
		per, run := dim/16, b.width(r.width)/16
		factor, offset = repeatBlocks(s.factor, n, len(factor)/n, per, run), repeatBlocks(s.offset, n, len(offset)/n, per, run)
	}
	return factor, offset, step
}

// nibbles says whether blocks are Int4 in all but where their scales lie: evenly spaced values, whole groups of
// channels.
func (b *Blocks) nibbles(dim int) bool {
	w := b.width(dim)
	return b.Bits == 4 && !b.balanced && b.Table[15]-b.Table[0] == 15 && b.Table[1]-b.Table[0] == 1 && (w%GroupDim == 0 || w == dim)
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
