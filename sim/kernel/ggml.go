package kernel

import "math"

// Q4 is ggml's q4_0: 32 channels share a binary16 scale, which takes the value of largest magnitude, the first
// of equals, to code 0 or 16, with its sign; the value is scale*(code - 8).
func Q4() *Blocks {
	b := &Blocks{Bits: 4, Width: 32, Scale: HalfScale, Table: counting(4)}
	for c := range b.Table {
		b.Table[c] -= 8
	}
	b.measure = func(xs []float32) (float32, float32) {
		var top float32
		for _, x := range xs {
			if max(x, -x) > max(top, -top) {
				top = x
			}
		}
		return top / -8, 0
	}
	b.code = func(x float32) byte { return byte(max(0, min(15, x+8.5))) }
	return b
}

// Q8 is ggml's q8_0: 32 channels share a binary16 scale, max|x|/127; ties are rounded away from zero.
func Q8() *Blocks {
	return &Blocks{
		Bits: 8, Width: 32, Scale: HalfScale, Table: signed(), form: formSigned,
		measure: func(xs []float32) (float32, float32) { return amax(xs) / 127, 0 },
		code:    func(x float32) byte { return byte(int8(max(-127, min(127, math.Round(float64(x)))))) },
	}
}
