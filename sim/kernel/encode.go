package kernel

import (
	"encoding/binary"
	"math"
)

// finite32 says whether x is neither infinite nor a NaN.
func finite32(x float32) bool { return math.Float32bits(x)&0x7f800000 != 0x7f800000 }

// finite16 says whether a binary16 value is neither infinite nor a NaN.
func finite16(u uint16) bool { return u&0x7c00 != 0x7c00 }

func encodeF32(dst []byte, row []float32) (finite bool) {
	finite = true
	for i, x := range row {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
		finite = finite && finite32(x)
	}
	return finite
}

// bf16 rounds to bfloat16, to nearest and ties to even; NaN stays NaN.
func bf16(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16) | 0x40 // quiet: the payload's upper bits may be zero
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// toBF16 rounds to bfloat16.
func toBF16(x float32) float32 { return math.Float32frombits(uint32(bf16(x)) << 16) }

// fromBF16 reads a bfloat16.
func fromBF16(src []byte) float32 {
	return math.Float32frombits(uint32(binary.LittleEndian.Uint16(src)) << 16)
}

func encodeBF16(dst []byte, row []float32) (finite bool) {
	finite = true
	for i, x := range row {
		u := bf16(x)
		binary.LittleEndian.PutUint16(dst[2*i:], u)
		if u&0x7f80 == 0x7f80 {
			finite = false
		}
	}
	return finite
}

// infinite are the bits of infinity; those of what is not finite and has no sign are not below it.
const infinite = 0x7f800000

// ordered turns the bits of a number into those of a whole number in the order of the numbers, and back.
func ordered(u uint32) int32 { return int32(u ^ uint32(int32(u)>>31)>>1) }

// bounds returns the smallest and the largest of some values, ordered.
func bounds(xs []float32) (low, high int32) {
	low, high, done := vectorBounds(xs)
	for _, x := range xs[done:] {
		u := ordered(math.Float32bits(x))
		low, high = min(low, u), max(high, u)
	}
	return low, high
}

// magnitude are the bits of the largest magnitude.
func magnitude(xs []float32) uint32 {
	low, high := bounds(xs)
	return uint32(max(0, high, ^low)) // the order of a number below zero is the complement of its bits without the sign
}

// finiteRow says whether all values are finite.
func finiteRow(xs []float32) bool { return magnitude(xs) < infinite }

// Amax is the largest magnitude, 0 of none and NaN where there is one.
func Amax(xs []float32) float32 { return math.Float32frombits(magnitude(xs)) }

// extent returns the smallest and the largest of every step-th value, and whether all are finite.
func extent(xs []float32, step int) (least, most float32, finite bool) {
	low, high := int32(math.MaxInt32), int32(math.MinInt32)
	if step == 1 {
		low, high = bounds(xs)
	} else {
		for i := 0; i < len(xs); i += step {
			x := ordered(math.Float32bits(xs[i]))
			low, high = min(low, x), max(high, x)
		}
	}
	return ends(low, high)
}

// ends are the numbers that low and high are the order of, and whether both are finite.
func ends(low, high int32) (least, most float32, finite bool) {
	const end = int32(infinite)
	least, most = math.Float32frombits(uint32(ordered(uint32(low)))), math.Float32frombits(uint32(ordered(uint32(high))))
	return least, most, low >= -end && high < end
}

// What Int8 and Int4 round by.
var signed8, unsigned4 = rounding{least: -127, most: 127}, rounding{most: 15}

// encodeInt8 quantises with the float32 scale and stores the rounded one, which decoding uses.
func encodeInt8(dst []byte, stored *uint16, row []float32) (finite bool) {
	least, most, finite := extent(row, 1)
	scale := max(-least, most) / 127
	*stored = Half(scale)
	clear(dst)
	if !finite || !finite16(*stored) {
		return false
	}
	if scale == 0 {
		return true
	}
	var sized [packed]float32
	for lo := 0; lo < len(row); lo += packed {
		xs := row[lo:min(lo+packed, len(row))]
		divided(sized[:], xs, 0, scale, minusZero)
		signed8.codes(dst[lo:], sized[:len(xs)])
	}
	return true
}

// encodeInt4 quantises each group with its float32 scale and minimum and stores the rounded ones. A group of
// equal values has scale 0 and codes 0.
func encodeInt4(dst []byte, scales, mins []uint16, row []float32) (finite bool) {
	clear(dst)
	finite = true
	for g := range scales {
		group := row[g*GroupDim : min((g+1)*GroupDim, len(row))]
		codes := dst[g*GroupDim/2:]
		least, most, ok := extent(group, 1)
		scale := (most - least) / 15
		scales[g], mins[g] = Half(scale), Half(least)
		if !ok || !finite16(scales[g]) || !finite16(mins[g]) {
			finite = false
			continue
		}
		if scale == 0 {
			continue
		}
		var sized [GroupDim]float32
		var named [GroupDim]byte
		divided(sized[:], group, least, scale, 0)
		unsigned4.codes(named[:], sized[:len(group)])
		putCodes(codes, 4, 0, len(group), named[:len(group)])
	}
	return finite
}

// quantise rounds x, ties to even, into lo..hi.
func quantise(x float32, lo, hi float64) float64 {
	return max(lo, min(hi, math.RoundToEven(float64(x))))
}

// putNibble sets the code of channel i of a group of width channels; its bits must be zero.
func putNibble(codes []byte, i, width int, c byte) {
	if half := (width + 1) / 2; i < half {
		codes[i] |= c
	} else {
		codes[i-half] |= c << 4
	}
}

// nibble returns the code of channel i of a group of width channels.
func nibble(codes []byte, i, width int) byte {
	half := (width + 1) / 2
	if i < half {
		return codes[i] & 15
	}
	return codes[i-half] >> 4
}

// encodeCodes8 stores whole numbers in -128..127; it reports false for any other.
func encodeCodes8(dst []byte, row []float32) (fits bool) {
	fits = true
	for i, x := range row {
		c := int8(max(-128, min(127, x)))
		dst[i] = byte(c)
		fits = fits && float32(c) == x
	}
	return fits
}

// encodeCodes4 stores whole numbers in 0..15; it reports false for any other.
func encodeCodes4(dst []byte, row []float32) (fits bool) {
	clear(dst)
	fits = true
	for lo := 0; lo < len(row); lo += GroupDim {
		group := row[lo:min(lo+GroupDim, len(row))]
		for i, x := range group {
			c := byte(max(0, min(15, x)))
			putNibble(dst[lo/2:], i, len(group), c)
			fits = fits && float32(c) == x
		}
	}
	return fits
}

// decode writes channels from and later of row i to dst, up to its length; from is a multiple of GroupDim
// for Int4 and Blocked.
func (r *Rows) decode(i, from int, dst []float32) {
	r.decodeCodes(i, from, dst)
	if r.Tokens > 0 {
		r.decodeChannels(i, from, dst)
		return
	}
	if r.Format == Int8 && r.Scale != nil {
		scale := halfs[r.Scale[i]]
		for c := range dst {
			dst[c] *= scale
		}
	}
}

// decodeCodes is decode without the scale of Int8, and without any that belong to channels.
func (r *Rows) decodeCodes(i, from int, dst []float32) {
	if r.Format == Blocked {
		r.Blocks.decode(r.Data[i*r.stride:(i+1)*r.stride], r.width, from, dst)
		if r.Fixed != 0 {
			for c := range dst {
				dst[c] *= r.Fixed
			}
		}
		return
	}
	src := r.Data[i*r.stride+r.Format.CodeBytes(from) : (i+1)*r.stride]
	switch r.Format {
	case F32:
		for c := range dst {
			dst[c] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*c:]))
		}
	case F16:
		for c := range dst {
			dst[c] = halfs[binary.LittleEndian.Uint16(src[2*c:])]
		}
	case BF16:
		for c := range dst {
			dst[c] = fromBF16(src[2*c:])
		}
	case Int8:
		for c := range dst {
			dst[c] = float32(int8(src[c]))
		}
	default:
		r.decodeInt4(i, from, src, dst)
	}
}

// decodeInt4 decodes the codes src of row i, which start at channel from, into dst.
func (r *Rows) decodeInt4(i, from int, src []byte, dst []float32) {
	for lo := 0; lo < len(dst); lo += GroupDim {
		scale, least := float32(1), float32(0)
		if r.Scale != nil && r.Tokens == 0 {
			at := i*r.groups + (from+lo)/GroupDim
			scale, least = halfs[r.Scale[at]], halfs[r.Min[at]]
		}
		width := min(GroupDim, r.width-from-lo)
		for c := range min(width, len(dst)-lo) {
			dst[lo+c] = float32(scale*float32(nibble(src[lo/2:], c, width))) + least
		}
	}
}
