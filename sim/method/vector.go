package method

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"kvgauge/sim/kernel"
)

// row returns row i of a stored head's rows x [rows][dim].
func row(x []float32, dim, i int) []float32 { return x[i*dim : (i+1)*dim] }

// square is the squared Euclidean norm of a row, as precise as float32.
func square(x []float32) float64 { return float64(kernel.Dot(x, x)) }

// squaredLengths are the squared lengths of rows x [rows][dim].
func squaredLengths(x []float32, dim int) []float64 {
	out := make([]float64, len(x)/dim)
	kernel.Squares(out, x, dim)
	return out
}

// dot is an inner product in float64. Four sums run beside each other: a single one would wait for each addition.
func dot(x []float32, y []float64) float64 {
	y = y[:len(x)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(x); i += 4 {
		a, b := x[i:i+4:i+4], y[i:i+4:i+4]
		s0 += float64(a[0]) * float64(b[0])
		s1 += float64(a[1]) * float64(b[1])
		s2 += float64(a[2]) * float64(b[2])
		s3 += float64(a[3]) * float64(b[3])
	}
	for ; i < len(x); i++ {
		s0 += float64(x[i]) * float64(y[i])
	}
	return s0 + s1 + (s2 + s3)
}

// sum is that of a row, in float64.
func sum(x []float32) float64 {
	var s0, s1, s2, s3 float64
	for ; len(x) >= 4; x = x[4:] {
		s0, s1, s2, s3 = s0+float64(x[0]), s1+float64(x[1]), s2+float64(x[2]), s3+float64(x[3])
	}
	for _, a := range x {
		s0 += float64(a)
	}
	return s0 + s1 + (s2 + s3)
}

// softmax makes probabilities of logits, in place. Where one is not a number, none is.
func softmax(x []float64) {
	total := math.NaN()
	switch largest := slices.Max(x); {
	case math.IsInf(largest, -1): // nothing is read
		clear(x)
		return
	case !math.IsNaN(largest):
		total = kernel.Exps(x, x, largest)
	}
	for i := range x {
		x[i] /= total
	}
}

// attention makes probabilities of the scaled products of a query at a token with the keys of all rows, which stand at
// positions pos.
func attention(x []float64, rule kernel.Rule, pos []int32, token int) {
	rule.Logits(x, pos, token)
	most := slices.Max(x)
	softmax(x)
	if rule.HasSink && !math.IsInf(most, -1) {
		// The sum of exponents relative to the largest is the inverse of its probability.
		lse := most - math.Log(slices.Max(x))
		floats.Scale(math.Exp(lse-rule.WithSink(lse)), x)
	}
}

func abs(x float32) float32 { return max(x, -x) }
