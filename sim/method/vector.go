package method

import (
	"math"
	"slices"
)

// row returns row i of a stored head's rows x [rows][dim].
func row(x []float32, dim, i int) []float32 { return x[i*dim : (i+1)*dim] }

// square is the squared Euclidean norm of a row.
func square(x []float32) float64 {
	var sum float64
	for _, a := range x {
		sum += float64(a) * float64(a)
	}
	return sum
}

// softmax makes probabilities of logits, in place. Where one is not a number, none is.
func softmax(x []float64) {
	largest, total := slices.Max(x), 0.0
	for i := range x {
		x[i] = math.Exp(x[i] - largest)
		total += x[i]
	}
	for i := range x {
		x[i] /= total
	}
}

func abs(x float32) float32 { return max(x, -x) }
