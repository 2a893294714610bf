package method

import (
	"math"
	"slices"

	"kvgauge/sim/kernel"
)

// row returns row i of a stored head's rows x [rows][dim].
func row(x []float32, dim, i int) []float32 { return x[i*dim : (i+1)*dim] }

// square is the squared Euclidean norm of a row, as precise as float32.
func square(x []float32) float64 { return float64(kernel.Dot(x, x)) }

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
	if largest := slices.Max(x); !math.IsNaN(largest) {
		total = kernel.Exps(x, x, largest)
	}
	for i := range x {
		x[i] /= total
	}
}

func abs(x float32) float32 { return max(x, -x) }
