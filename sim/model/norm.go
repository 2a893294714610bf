package model

import (
	"math"

	"kvgauge/sim/kernel"
)

// rmsNorm sets dst to a row divided by its root mean square, times weights (Zhang and Sennrich, arXiv:1910.07467). The two
// may be the same.
func rmsNorm(dst, row, weights []float32, eps float64) {
	mean := float64(kernel.Dot(row, row)) / float64(len(row))
	scale := float32(1 / math.Sqrt(mean+eps))
	for i, x := range row {
		dst[i] = x * scale * weights[i]
	}
}
