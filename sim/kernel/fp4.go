package kernel

import "math"

// NVFP4 is E2M1 in blocks of 16 channels with an E4M3 scale each, times a global scale. With fourOverSix a
// block may also have its largest magnitude at 4, where the next smaller code is nearer than below 6: the scale
// of the smaller squared error is taken, and of equal ones that of 6.
func NVFP4(global float32, fourOverSix bool) *Blocks {
	b := &Blocks{Bits: 4, Width: 16, Table: e2m1Table, Scale: E4M3Scale, Global: global, round: rounding{how: roundSigned, steps: e2m1Even}}
	scale := func(most, largest float32) float32 {
		return e4m3Table[e4m3.round(most/(largest*global))] * global
	}
	b.measure = func(xs []float32) (float32, float32) {
		most := Amax(xs)
		six := scale(most, 6)
		if !fourOverSix {
			return six, 0
		}
		if four := scale(most, 4); squaredError(xs, four) < squaredError(xs, six) {
			return four, 0
		}
		return six, 0
	}
	return b
}

// NVFP4Global is the global scale with which the largest block scale of some rows is the largest E4M3 value, given the
// largest magnitudes of parts of them.
func NVFP4Global(largest []float32) float32 {
	most := Amax(largest)
	if most == 0 {
		return 1
	}
	return most / (e4m3Table[e4m3.most] * 6)
}

// squaredError is that of a block in E2M1; a value between two codes counts as the upper one, as the search of
// the published kernel has it.
func squaredError(xs []float32, scale float32) (sum float32) {
	for _, x := range xs {
		d := x
		if scale != 0 {
			d -= e2m1Table[upE2M1(x/scale)] * scale
		}
		sum += float32(d * d)
	}
	return sum
}

// MX4 is E2M1 in blocks of width channels with a power of two each, the smallest that brings the largest
// magnitude within 6; a value between two codes becomes the larger.
func MX4(width int) *Blocks {
	return &Blocks{
		Bits: 4, Width: width, Table: e2m1Table, Scale: E8M0Scale, round: rounding{how: roundUnsigned, steps: e2m1Steps},
		measure: func(xs []float32) (float32, float32) {
			size := max(float64(Amax(xs))/6, 1e-10)
			fraction, exp := math.Frexp(size)
			if fraction == 0.5 {
				exp-- // a power of two itself
			}
			return float32(math.Ldexp(1, exp)), 0
		},
	}
}

// e2m1Steps are the middles between the magnitudes of E2M1, and e2m1Even what is the first to be nearer to the upper one, or as
// near where that is even.
var (
	e2m1Steps = stepsOf(middles(e2m1Table[:8])...)
	e2m1Even  = evenSteps(middles(e2m1Table[:8]))
)

// evenSteps moves the steps up to odd codes behind the middles.
func evenSteps(middles []float32) *steps15 {
	for i := 0; i < len(middles); i += 2 {
		middles[i] = math.Nextafter32(middles[i], 8)
	}
	return stepsOf(middles...)
}

// upE2M1 rounds to E2M1, ties away from zero.
func upE2M1(x float32) (code byte) { return e2m1Steps.signedCode(x + 0) } // which has no minus zero
