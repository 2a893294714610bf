package kernel

import "math"

// minifloat is a small binary format with a sign, subnormal numbers and no infinity that is ever stored:
// values beyond the largest are stored as the largest.
type minifloat struct {
	bits     int // all of them
	fraction int // of them
	least    int // exponent of the smallest normal number
	most     byte
}

var (
	// e4m3 reaches 448, e5m2 57344 (Micikevicius et al. 2022, arXiv:2209.05433); e2m1 has the values 0, 0.5,
	// 1, 1.5, 2, 3, 4 and 6 (OCP Microscaling Formats 1.0, section 5.3.3).
	e4m3 = minifloat{8, 3, -6, 0x7e}
	e5m2 = minifloat{8, 2, -14, 0x7b}
	e2m1 = minifloat{4, 1, 0, 7}

	e4m3Table, e5m2Table, e2m1Table = e4m3.table(), e5m2.table(), e2m1.table()
)

// round returns the code nearest to x, of two equally near ones the even.
func (m minifloat) round(x float32) byte {
	b := math.Float32bits(x)
	size, sign := b&^(1<<31), byte(b>>31)<<(m.bits-1)
	if first := uint32(127 + m.least); size < first<<23 {
		// Added to a number whose last place is the smallest code, a float32 is rounded to that.
		unit := (first + 23 - uint32(m.fraction)) << 23
		size = math.Float32bits(math.Float32frombits(size)+math.Float32frombits(unit)) - unit
	} else {
		drop := 23 - m.fraction
		size += 1<<(drop-1) - 1 + size>>drop&1
		size = size>>drop - (first-1)<<m.fraction
	}
	return byte(min(size, uint32(m.most))) | sign
}

// table is the value of every code; what would be infinite or not a number, and is never stored, goes on
// as if it were not.
func (m minifloat) table() []float32 {
	t := make([]float32, 1<<m.bits)
	half := len(t) / 2
	for c := range half {
		exp, fraction := c>>m.fraction, c&(1<<m.fraction-1)
		if exp > 0 {
			fraction += 1 << m.fraction
		}
		t[c] = float32(math.Ldexp(float64(fraction), max(exp, 1)-1+m.least-m.fraction))
		t[half+c] = -t[c]
	}
	return t
}
