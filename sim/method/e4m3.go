package method

import (
	"encoding/binary"
	"math"
)

// encodeE4M3 rounds x to a byte of sign, 4 bits of exponent and 3 of fraction, to nearest and ties to even. |x|
// is at most 448, the largest finite value.
func encodeE4M3(x float32) byte {
	b := math.Float32bits(x)
	sign := byte(b >> 24 & 0x80)
	b &= 0x7fffffff
	if b < 0x3c800000 { // below 2^-6: a multiple of 2^-9
		return sign | byte(math.RoundToEven(float64(math.Float32frombits(b))*0x1p9))
	}
	b -= 120 << 23
	b += 0x7ffff + b>>20&1 // carries into the exponent where the fraction overflows
	return sign | byte(b>>20)
}

// e4m3Scale is what the halves of halvesE4M3 are to be multiplied by: the exponents' biases, 15 and 7, differ by 8.
const e4m3Scale = 256

// halvesE4M3 writes codes as binary16 in little-endian bytes, each 1/256 of what it stands for: the same exponent
// and fraction in another place, exact for subnormal numbers too. Four codes go at a time, each in 16 bits of a
// word.
func halvesE4M3(dst, codes []byte) {
	for len(codes) >= 4 {
		x := uint64(binary.LittleEndian.Uint32(codes))
		x = (x | x<<16) & 0x0000ffff0000ffff
		x = (x | x<<8) & 0x00ff00ff00ff00ff
		binary.LittleEndian.PutUint64(dst, x&0x0080008000800080<<8|x&0x007f007f007f007f<<7)
		codes, dst = codes[4:], dst[8:]
	}
	for i, c := range codes {
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(c&0x80)<<8|uint16(c&0x7f)<<7)
	}
}
