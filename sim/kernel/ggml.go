package kernel

// The block formats of ggml: 32 channels share a binary16 scale, and in those of a minimum that, too. A row has the codes
// of its blocks first and then their scales; ggml puts each block's scale, minimum and fifth bits before its codes. The
// bytes are the same otherwise. Values are multiplied by the inverse of the scale in binary32, as ggml does.

// Q4 is q4_0: the scale takes the value of largest magnitude, the first of equals, to code 0 or 16, with its sign; the
// value is scale*(code - 8).
func Q4() *Blocks { return ggmlSigned(4) }

// Q5 is q5_0: Q4 with 32 codes.
func Q5() *Blocks { return ggmlSigned(5) }

// Q4Min is q4_1: codes from 0 to 15 between the smallest and the largest value.
func Q4Min() *Blocks { return ggmlMin(4) }

// Q5Min is q5_1: codes from 0 to 31 between the smallest and the largest value.
func Q5Min() *Blocks { return ggmlMin(5) }

// Q8 is q8_0, whose scale is max|x|/127; ties are rounded away from zero.
func Q8() *Blocks {
	return &Blocks{
		Bits: 8, Width: 32, Scale: HalfScale, Table: signed(), form: formSigned, inverse: true,
		measure: func(xs []float32) (float32, float32) { return Amax(xs) / 127, 0 },
		round:   rounding{how: roundAway, least: -127, most: 127},
	}
}

// iq4NL are the entries of iq4_nl.
var iq4NL = []float32{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

// NonLinear is iq4_nl: codes name entries of a table that is denser around zero. They are chosen with the scale that takes
// the value of largest magnitude, the first of equals, to the first entry; the stored one is fitted to them.
func NonLinear() *Blocks {
	return &Blocks{
		Bits: 4, Width: 32, Scale: HalfScale, Table: iq4NL, Refit: true, inverse: true,
		measure: func(xs []float32) (float32, float32) {
			top := farthest(xs)
			if max(top, -top) < 1e-15 {
				return 0, 0
			}
			return top / iq4NL[0], 0
		},
		round: rounding{how: roundSteps, steps: stepsOf(middles(iq4NL)...)},
	}
}

// middles are the values halfway between the entries of a table, which go to the upper one.
func middles(table []float32) []float32 {
	between := make([]float32, len(table)-1)
	for i := range between {
		between[i] = (table[i] + table[i+1]) / 2
	}
	return between
}

// ggmlSigned has a scale with a sign.
func ggmlSigned(bits int) *Blocks {
	half := float32(int(1) << (bits - 1))
	b := &Blocks{Bits: bits, Width: 32, Scale: HalfScale, Table: counting(bits), form: tableForm(bits), inverse: true}
	for c := range b.Table {
		b.Table[c] -= half
	}
	b.measure = func(xs []float32) (float32, float32) { return farthest(xs) / -half, 0 }
	b.round = rounding{how: roundDown, zero: half, half: 0.5, most: 2*half - 1}
	return b
}

// ggmlMin has a minimum.
func ggmlMin(bits int) *Blocks {
	most := float32(int(1)<<bits - 1)
	return &Blocks{
		Bits: bits, Width: 32, Scale: HalfMin, Table: counting(bits), form: tableForm(bits), inverse: true,
		measure: func(xs []float32) (float32, float32) {
			least, largest, _ := extent(xs, 1)
			return (largest - least) / most, least
		},
		round: rounding{how: roundDown, half: 0.5, most: most},
	}
}

// farthest is the value of largest magnitude, the first of equals.
func farthest(xs []float32) float32 {
	least, most, _ := extent(xs, 1)
	switch {
	case -least > most:
		return least
	case -least < most:
		return most
	}
	for _, x := range xs {
		if max(x, -x) == most && x != 0 {
			return x
		}
	}
	return 0
}
