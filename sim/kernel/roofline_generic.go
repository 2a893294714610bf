package kernel

import (
	"encoding/binary"
	"runtime"
)

// Reference: what the roofline is measured by.

// readGeneric reads p, whole multiples of 512 bytes, and returns the exclusive or of its words.
func readGeneric(p []byte) uint64 {
	var a, b, c, d uint64
	for ; len(p) >= 32; p = p[32:] {
		a ^= binary.LittleEndian.Uint64(p)
		b ^= binary.LittleEndian.Uint64(p[8:])
		c ^= binary.LittleEndian.Uint64(p[16:])
		d ^= binary.LittleEndian.Uint64(p[24:])
	}
	return a ^ b ^ c ^ d
}

// fmaGeneric does rounds of eight independent multiplications with addition.
func fmaGeneric(rounds int) {
	var a, b, c, d, e, f, g, h float32
	x, y := float32(1)/3, float32(0.5)
	for range rounds {
		a = a*y + x
		b = b*y + x
		c = c*y + x
		d = d*y + x
		e = e*y + x
		f = f*y + x
		g = g*y + x
		h = h*y + x
	}
	runtime.KeepAlive(a + b + c + d + e + f + g + h)
}
