package kernel

// Uniform is asymmetric: codes from 0 to 2^bits-1 between the smallest and the largest value of width
// channels, 0 for the whole row, with scale and minimum in binary16. A block of equal values has scale 0 and codes 0.
// Ties are rounded to even.
func Uniform(bits, width int) *Blocks {
	most := float64(int(1)<<bits - 1)
	return &Blocks{
		Bits: bits, Width: width, Scale: HalfMin, Table: counting(bits), form: tableForm(bits),
		measure: func(xs []float32) (float32, float32) {
			least, largest, _ := extent(xs, 1)
			return (largest - least) / float32(most), least
		},
		round: rounding{most: float32(most)},
	}
}

// Tokenwise4 is a code of 4 bits with one scale a row and the code that stands for zero hidden in it, as in
// vLLM: ties are rounded away from zero, and a row without a zero between its values loses range.
func Tokenwise4() *Blocks {
	return &Blocks{
		Bits: 4, Scale: ZeroScale, Table: counting(4),
		measure: func(xs []float32) (float32, float32) {
			least, most, _ := extent(xs, 1)
			return max((most-least)/15, 1e-6), least
		},
		round: rounding{how: roundAway, most: 15},
	}
}

// Tokenwise8 is a signed code of 8 bits with one binary32 scale a row, max|x|/127. Codes are rounded to even,
// or cut off.
func Tokenwise8(cut bool) *Blocks {
	b := &Blocks{
		Bits: 8, Scale: FloatScale, Table: signed(), form: formSigned,
		measure: func(xs []float32) (float32, float32) { return max(Amax(xs)/127, 1e-6), 0 },
		round:   rounding{least: -127, most: 127},
	}
	if cut {
		b.round.how = roundDown
	}
	return b
}
