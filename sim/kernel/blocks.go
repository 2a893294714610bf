package kernel

import (
	"encoding/binary"
	"math"
)

// Blocks is a format of rows that names an entry of a table for each channel, and a scale for each block of
// channels. With the stored scale and minimum of the block a code stands for
//
//	scale*Table[code] + minimum
//
// A row is its codes (packing.go), then the scales of its blocks, what a Sketch adds, then Pad. Codes are chosen with the scale in
// binary32 and read with the one that is stored, as the kernels of serving engines do. A Blocks is made by the
// function that is named after the format (fp8.go, fp4.go, ggml.go, ...), does not change after that, and
// serves any number of Rows.
type Blocks struct {
	Bits     int       // of a code: 2, 3, 4, 5 or 8
	Width    int       // channels of a block, the last may have fewer; 0: the whole row
	Table    []float32 // [1<<Bits]
	Scale    ScaleType
	Global   float32 // factor of each E4M3Scale
	Unit     bool    // the stored scale is divided by the norm of what the codes stand for
	Refit    bool    // the stored scale is that of the least error of the codes, weighted by the squares of the values
	Sketch   *Sketch // of what the codes leave of a row; nil: none
	Pad      int     // bytes at the end of a row that hold nothing
	form     form
	balanced bool // rows are Balanced: they have scales of channels besides

	most    float32 // the largest magnitude that has a code, where the scale is fixed; 0: scales follow the values
	wide    bool    // scales of channels are in binary32
	narrow  bool    // values are quantised in bfloat16, which is rounded to after each operation
	inverse bool    // values are multiplied by the inverse of the scale, where others are divided by it

	// measure returns the scale and the minimum to quantise a block with.
	measure func(xs []float32) (scale, least float32)
	// round makes codes of (x - minimum)/scale.
	round rounding
	// restore is what a code stands for to the format's own program, which computes in bfloat16; nil where that is what is
	// read.
	restore func(code, scale, least float32) float32
}

// form is what vector instructions make values of codes by; the Table says the same.
type form uint8

const (
	formNibble form = iota // 4 bits, by the table
	formPair               // 2 bits, by the table
	formTriple             // 3 bits, by the table
	formFive               // 5 bits, counted from the first entry of the table on
	formByte               // 8 bits, likewise
	formSigned             // two's complement
	formE4M3
	formE5M2

	forms // how many there are
)

// tableForm is the form of codes of 2 to 8 bits that stand for numbers evenly apart, of 2 to 4 for any.
func tableForm(bits int) form {
	return [...]form{2: formPair, 3: formTriple, 4: formNibble, 5: formFive, 8: formByte}[bits]
}

// counts says whether vector instructions read codes as numbers, without the table.
func (f form) counts() bool { return f == formFive || f == formByte }

// tabled says whether codes name entries of a table of 16 or fewer.
func (f form) tabled() bool { return f <= formTriple }

// ScaleType is how the scale of a block is stored.
type ScaleType uint8

const (
	NoScale    ScaleType = iota // 1 for every block
	HalfScale                   // binary16
	HalfMin                     // binary16, then a minimum in binary16
	FloatScale                  // binary32
	FloatZero                   // binary32, then the number that stands for zero in binary32
	BF16Min                     // bfloat16, then a minimum in bfloat16
	BF16Zero                    // bfloat16, then the number that stands for zero in bfloat16
	ZeroScale                   // binary32, whose lowest four bits are the code that stands for zero
	E4M3Scale                   // a byte, times Global
	E8M0Scale                   // a byte: the exponent of a power of two, plus 127
)

// bytes is what a scale takes.
func (t ScaleType) bytes() int { return [...]int{0, 2, 4, 4, 8, 4, 4, 4, 1, 1}[t] }

// hasMin says whether a minimum, or what stands for zero, is stored with a scale.
func (t ScaleType) hasMin() bool {
	switch t {
	case HalfMin, FloatZero, BF16Min, BF16Zero, ZeroScale:
		return true
	}
	return false
}

// RowBytes returns what a row of dim channels takes.
func (b *Blocks) RowBytes(dim int) int { n, _ := b.rowBytes(dim); return n }

// rowBytes returns what a row of dim channels takes, and how much of it is not codes.
func (b *Blocks) rowBytes(dim int) (all, scales int) {
	scales = b.blocks(dim)*b.Scale.bytes() + b.Pad
	if b.Sketch != nil {
		scales += 2
	}
	return codeBytes(b.Bits, dim) + scales, scales
}

// whole says whether all of a row shares a scale.
func (b *Blocks) whole(dim int) bool { return b.Width == 0 || b.Width >= dim }

// blocks is how many blocks a row has.
func (b *Blocks) blocks(dim int) int {
	if b.Width == 0 {
		return 1
	}
	return (dim + b.Width - 1) / b.Width
}

// width is how many channels share a scale.
func (b *Blocks) width(dim int) int {
	if b.Width == 0 {
		return dim
	}
	return b.Width
}

// encode writes a row and reports whether the format could hold all of it.
func (b *Blocks) encode(dst []byte, row []float32) (finite bool) {
	clear(dst)
	codes := codeBytes(b.Bits, len(row))
	scales, width := dst[codes:], b.width(len(row))
	finite = true
	for lo := 0; lo < len(row); lo += width {
		xs := row[lo:min(lo+width, len(row))]
		if !finiteRow(xs) {
			finite = false
			continue
		}
		scale, least := b.measure(xs)
		zero := float32(0)
		if b.Scale == ZeroScale {
			zero = float32(max(0, min(15, math.Round(float64(-least/scale)))))
			least = 0
		}
		switch b.Scale {
		case FloatZero:
			zero, least = -least/scale, 0
		case BF16Zero:
			zero = least
		}
		norm := b.encodeBlock(dst[:codes], len(row), lo, xs, scale, least, zero)
		switch {
		case b.Scale == BF16Zero:
			scale = 1 / scale
		case b.Unit:
			scale = float32(float64(scale) / math.Sqrt(norm+1e-16))
		case b.Refit:
			scale = b.refit(dst[:codes], len(row), lo, xs)
		}
		finite = b.putScale(scales[lo/width*b.Scale.bytes():], scale, least, zero) && finite
	}
	return finite
}

// encodeFixed writes a row of codes whose scale is that of all rows, counts the values that are beyond the largest code, and
// reports whether all were numbers.
func (r *Rows) encodeFixed(dst []byte, row []float32) (finite bool) {
	scale, most := r.fixed(), r.Blocks.most
	clear(dst[len(row):])
	var sized [packed]float32
	for lo := 0; lo < len(row); lo += packed {
		xs := row[lo:min(lo+packed, len(row))]
		divided(sized[:], xs, 0, scale, minusZero)
		for _, t := range sized[:len(xs)] {
			if t > most || t < -most {
				r.Clipped.Values++
			}
		}
		r.Blocks.round.codes(dst[lo:], sized[:len(xs)])
	}
	r.Clipped.Of += int64(len(row))
	return finiteRow(row)
}

// encodeBlock writes the codes of a block, the channels from lo on of a row of dim, and returns the squared norm of
// the entries that they name.
func (b *Blocks) encodeBlock(codes []byte, dim, lo int, xs []float32, scale, least, zero float32) (norm float64) {
	var sized [packed]float32
	var named [packed]byte
	for at := 0; at < len(xs); at += packed {
		part := xs[at:min(at+packed, len(xs))]
		b.size(sized[:len(part)], part, scale, least, zero)
		b.round.codes(named[:], sized[:len(part)])
		putCodes(codes, b.Bits, lo+at, dim, named[:len(part)])
		if b.Unit {
			for _, c := range named[:len(part)] {
				norm += float64(b.Table[c]) * float64(b.Table[c])
			}
		}
	}
	return norm
}

// size brings the values of a block to the size of codes.
func (b *Blocks) size(dst, xs []float32, scale, least, zero float32) {
	dst = dst[:len(xs)]
	switch {
	case b.Scale == BF16Zero:
		for i, x := range xs {
			dst[i] = float32(toBF16(x)*scale) + zero
		}
	case scale == 0:
		clear(dst)
	case b.narrow:
		for i, x := range xs {
			dst[i] = toBF16(toBF16(toBF16(x)-least) / scale)
		}
	case b.inverse:
		multiplied(dst, xs, least, 1/scale)
	default:
		divided(dst, xs, least, scale, zero)
	}
}

// refit returns the scale with which the codes of a block, the channels from lo on of a row of dim, have the least sum of
// x*x*(x - scale*entry)^2.
func (b *Blocks) refit(codes []byte, dim, lo int, xs []float32) float32 {
	var xy, yy float32
	for i, x := range xs {
		part, w, at := group(codes, b.Bits, lo+i, dim)
		y, weight := b.Table[nibble(part, at, w)], x*x
		xy += float32(float32(weight*y) * x)
		yy += float32(float32(weight*y) * y)
	}
	if yy == 0 {
		return 0
	}
	return xy / yy
}

// putScale stores the scale of a block.
func (b *Blocks) putScale(dst []byte, scale, least, zero float32) (finite bool) {
	switch b.Scale {
	case HalfScale:
		u := Half(scale)
		binary.LittleEndian.PutUint16(dst, u)
		return finite16(u)
	case HalfMin:
		u, v := Half(scale), Half(least)
		binary.LittleEndian.PutUint16(dst, u)
		binary.LittleEndian.PutUint16(dst[2:], v)
		return finite16(u) && finite16(v)
	case FloatScale:
		binary.LittleEndian.PutUint32(dst, math.Float32bits(scale))
	case FloatZero:
		binary.LittleEndian.PutUint32(dst, math.Float32bits(scale))
		binary.LittleEndian.PutUint32(dst[4:], math.Float32bits(zero))
	case BF16Min, BF16Zero:
		binary.LittleEndian.PutUint16(dst, bf16(scale))
		binary.LittleEndian.PutUint16(dst[2:], bf16(least))
	case ZeroScale:
		binary.LittleEndian.PutUint32(dst, math.Float32bits(scale)&^15|uint32(zero))
	case E4M3Scale:
		dst[0] = e4m3.round(scale / b.Global)
	case E8M0Scale:
		dst[0] = byte(math.Float32bits(scale) >> 23)
	}
	return finite32(scale)
}

// scale returns the stored scale of block i, and the minimum, of the scales of a row.
func (b *Blocks) scale(scales []byte, i int) (scale, least float32) {
	src := scales[i*b.Scale.bytes():]
	switch b.Scale {
	case HalfScale:
		return halfs[binary.LittleEndian.Uint16(src)], 0
	case HalfMin:
		return halfs[binary.LittleEndian.Uint16(src)], halfs[binary.LittleEndian.Uint16(src[2:])]
	case FloatScale:
		return math.Float32frombits(binary.LittleEndian.Uint32(src)), 0
	case FloatZero:
		scale = math.Float32frombits(binary.LittleEndian.Uint32(src))
		return scale, -scale * math.Float32frombits(binary.LittleEndian.Uint32(src[4:]))
	case BF16Min, BF16Zero:
		scale, least = fromBF16(src), fromBF16(src[2:])
		if b.Scale == BF16Zero {
			least *= -scale
		}
		return scale, least
	case ZeroScale:
		u := binary.LittleEndian.Uint32(src)
		scale = math.Float32frombits(u)
		return scale, -scale * float32(u&15)
	case E4M3Scale:
		return e4m3Table[src[0]] * b.Global, 0
	case E8M0Scale:
		return math.Float32frombits(uint32(src[0]) << 23), 0
	}
	return 1, 0
}

// decode writes channels from and later of a stored row of dim channels to dst, up to its length, and those that
// a Sketch has behind them; from is dim or less, and a multiple of packed.
func (b *Blocks) decode(src []byte, dim, from int, dst []float32) {
	if from+len(dst) > dim {
		b.Sketch.decode(b, src, dst[dim-from:])
		dst = dst[:dim-from]
	}
	codes := codeBytes(b.Bits, dim)
	lookUp(src[:codes], b.Bits, dim, from, b.Table, dst)
	if b.Scale == NoScale {
		return
	}
	width := b.width(dim)
	for at := 0; at < len(dst); {
		block := (from + at) / width
		end := min(len(dst), (block+1)*width-from)
		scale, least := b.scale(src[codes:], block)
		for c, x := range dst[at:end] {
			dst[at+c] = float32(scale*x) + least
		}
		at = end
	}
}

// counting is the table of codes that stand for 0, 1, ... themselves.
func counting(bits int) []float32 {
	t := make([]float32, 1<<bits)
	for c := range t {
		t[c] = float32(c)
	}
	return t
}

// signed is the table of the codes of two's complement.
func signed() []float32 {
	t := make([]float32, 256)
	for c := range t {
		t[c] = float32(int8(c))
	}
	return t
}
