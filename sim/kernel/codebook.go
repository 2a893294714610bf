package kernel

import "math"

// lloydMax are the upper halves of the codebooks, by bits, with the least squared error on a standard normal
// variable: each entry is the mean of what lies nearest to it.
var lloydMax = [...][]float32{
	2: {0.452780, 1.510418},
	3: {0.245094, 0.756005, 1.343909, 2.151946},
	4: {0.128395, 0.388048, 0.656759, 0.942340, 1.256231, 1.618046, 2.069017, 2.732590},
}

// Codebook is a direction and a length: the codes, of 2, 3 or 4 bits, each name a coordinate of the unit vector by
// the codebook of a normal variable of variance 1/dim, and the scale is the row's norm in binary16. A value
// halfway between two goes up. With unit the scale makes good what the codes change of the norm.
func Codebook(bits, dim int, unit bool) *Blocks {
	half := lloydMax[bits]
	n := len(half)
	b := &Blocks{Bits: bits, Scale: HalfScale, Unit: unit, form: tableForm(bits), Table: make([]float32, 2*n)}
	for i, x := range half {
		x := float32(float64(x) / math.Sqrt(float64(dim)))
		b.Table[n+i], b.Table[n-1-i] = x, -x
	}
	b.measure = func(xs []float32) (float32, float32) {
		var sum float64
		for _, x := range xs {
			sum += float64(x) * float64(x)
		}
		return float32(math.Sqrt(sum)), 0
	}
	b.round = rounding{how: roundSteps, steps: stepsOf(middles(b.Table)...)}
	return b
}

// Range is Uniform over the whole row but for its rounding, up at ties, and its smallest scale, 1e-8: the
// values beside a Codebook's keys in vLLM.
func Range(bits int) *Blocks {
	b := Uniform(bits, 0)
	most := float32(int(1)<<bits - 1)
	b.measure = func(xs []float32) (float32, float32) {
		least, largest, _ := extent(xs, 1)
		return max((largest-least)/most, 1e-8), least
	}
	b.round = rounding{how: roundDown, half: 0.5, most: most}
	return b
}
