package kernel

import "math"

// MaxHalf is the largest finite IEEE 754 binary16 value.
const MaxHalf = 65504

// halfs maps every binary16 bit pattern to its float32 value (256 KiB, one load per element).
var halfs = func() *[1 << 16]float32 {
	var t [1 << 16]float32
	for u := range t {
		t[u] = halfToFloat(uint16(u))
	}
	return &t
}()

// halfToFloat is exact for every bit pattern; subnormals are scaled by 2^-24.
func halfToFloat(u uint16) float32 {
	sign := uint32(u&0x8000) << 16
	exp := uint32(u>>10) & 0x1f
	frac := uint32(u & 0x3ff)
	switch exp {
	case 0:
		return math.Float32frombits(math.Float32bits(float32(frac)*0x1p-24) | sign)
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// Float returns the value of a binary16 bit pattern.
func Float(u uint16) float32 { return halfs[u] }

// Half rounds to binary16, to nearest and ties to even. Values beyond MaxHalf after rounding become
// infinite, as the hardware has it; NaN stays NaN.
func Half(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // NaN
		return sign | 0x7e00
	case b >= 0x477ff000: // rounds to 65536 or more
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(b))*0x1p24))
	}
	b -= 112 << 23
	b += 0xfff + b>>13&1 // carries into the exponent where the fraction overflows
	return sign | uint16(b>>13)
}

// Floats widens src into dst, of the same length.
func Floats(dst []float32, src []uint16) { active.floats(dst[:len(src)], src) }
