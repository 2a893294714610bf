package kernel

import (
	"encoding/binary"
	"math"
)

// Shared: codes of many values at a time. The loops are the reference, and take what the assembly leaves.

// rounding is how values that are brought to the size of codes become codes, a byte each. What is not finite has any code.
type rounding struct {
	how         uint8
	zero        float32 // added before, and then half
	half        float32
	least, most float32 // within -128..255
	steps       *steps15
	float       minifloat
}

const (
	roundEven     uint8 = iota // to whole numbers, ties to even
	roundAway                  // to whole numbers, ties away from zero
	roundDown                  // what is behind the point of x + zero + half is dropped
	roundSteps                 // the number of steps that are reached
	roundSigned                // that of the magnitude, with the sign as the fourth bit
	roundUnsigned              // the same, where minus zero has no sign
	roundFloat                 // to the nearest number of a format
)

// minusZero leaves every number as it is when it is added, minus zero too.
var minusZero = float32(math.Copysign(0, -1))

// codes writes the codes of values.
func (r *rounding) codes(codes []byte, xs []float32) {
	const whole = 3 << 22 // a float32 of this size has no bits below 1, and its lowest byte is that of what was added
	done := r.vectorCodes(codes, xs)
	codes, xs = codes[done:len(xs)], xs[done:]
	least, most := r.least, r.most
	switch r.how {
	case roundEven:
		for i, x := range xs {
			codes[i] = byte(math.Float32bits(within(x, least, most) + whole))
		}
	case roundAway:
		for i, x := range xs {
			y := float64(within(x, least, most)) // whose sum with a half is exact
			codes[i] = byte(int32(y + math.Copysign(0.5, y)))
		}
	case roundDown:
		zero, half := r.zero, r.half
		for i, x := range xs {
			codes[i] = byte(int32(within(x+zero+half, least, most)))
		}
	case roundSteps:
		for i, x := range xs {
			codes[i] = r.steps.code(x)
		}
	case roundSigned:
		for i, x := range xs {
			codes[i] = r.steps.signedCode(x)
		}
	case roundUnsigned:
		for i, x := range xs {
			codes[i] = r.steps.signedCode(x + 0)
		}
	default:
		for i, x := range xs {
			codes[i] = r.float.round(x)
		}
	}
}

// divided sets dst to (x - least)/scale + zero.
func divided(dst, xs []float32, least, scale, zero float32) {
	dst = dst[:len(xs)]
	for i := vectorDivided(dst, xs, least, scale, zero); i < len(xs); i++ {
		dst[i] = (xs[i]-least)/scale + zero
	}
}

// multiplied sets dst to (x - least)*factor.
func multiplied(dst, xs []float32, least, factor float32) {
	dst = dst[:len(xs)]
	for i := vectorMultiplied(dst, xs, least, factor); i < len(xs); i++ {
		dst[i] = (xs[i] - least) * factor
	}
}

// within is x, or the end of least..most that it is beyond.
func within(x, least, most float32) float32 {
	if x < least {
		x = least
	}
	if x > most {
		x = most
	}
	return x
}

// steps15 are where the codes of 4 bits, or fewer, go up by one.
type steps15 [15]float32

// stepsOf fills up with steps that nothing reaches.
func stepsOf(at ...float32) *steps15 {
	s := new(steps15)
	for i := copy(s[:], at); i < len(s); i++ {
		s[i] = float32(math.NaN())
	}
	return s
}

// code is how many steps x has reached.
func (s *steps15) code(x float32) (c uint8) {
	if x >= s[7] {
		c = 8
	}
	if x >= s[c&8+3] {
		c += 4
	}
	if x >= s[c&12+1] {
		c += 2
	}
	if x >= s[c&14] {
		c++
	}
	return c
}

// signedCode is the code of x's magnitude, with its sign as the fourth bit.
func (s *steps15) signedCode(x float32) byte {
	u := math.Float32bits(x)
	return s.code(math.Float32frombits(u&^(1<<31))) | byte(u>>31)<<3
}

// putCodes packs the codes of channels from lo on of a row of dim channels (packing.go), whose bits must be zero.
func putCodes(row []byte, bits, lo, dim int, codes []byte) {
	if bits == 8 {
		copy(row[lo:], codes)
		return
	}
	for ; len(codes) >= packed && lo%packed == 0; lo, codes = lo+packed, codes[packed:] {
		packGroup(row[lo*bits/8:], bits, (*[packed]byte)(codes))
	}
	if part, width, at := group(row, bits, lo, dim); bits == 4 && width == packed && at%(packed/2) == 0 && len(codes) == packed/2 {
		for i := 0; i < packed/2; i += 8 { // the lower or the upper half of each byte
			u := binary.LittleEndian.Uint64(part[i:]) | binary.LittleEndian.Uint64(codes[i:])<<(at/4)
			binary.LittleEndian.PutUint64(part[i:], u)
		}
		return
	}
	for i, c := range codes {
		putCode(row, bits, lo+i, dim, c)
	}
}

// packGroup packs a whole group, eight codes at a time.
func packGroup(dst []byte, bits int, codes *[packed]byte) {
	const two, four = 0x0303030303030303, 0x0f0f0f0f0f0f0f0f
	eight := func(i int) uint64 { return binary.LittleEndian.Uint64(codes[8*i:]) }
	if bits == 2 || bits == 3 {
		binary.LittleEndian.PutUint64(dst, eight(0)&two|eight(1)&two<<2|eight(2)&two<<4|eight(3)&two<<6)
		if bits == 3 {
			packBit(dst[packed/4:], codes, 2)
		}
		return
	}
	for i := range 2 {
		binary.LittleEndian.PutUint64(dst[8*i:], eight(i)&four|eight(i+2)&four<<4)
	}
	if bits == 5 {
		packBit(dst[packed/2:], codes, 4)
	}
}

// packBit packs bit at of each code, eight to a byte.
func packBit(dst []byte, codes *[packed]byte, at int) {
	for i := range packed / 8 {
		u := binary.LittleEndian.Uint64(codes[8*i:]) >> at & 0x0101010101010101
		dst[i] = byte(u * 0x0102040810204080 >> 56) // bit 8j goes to bit 56+j
	}
}
