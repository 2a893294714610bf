//go:build !amd64 || purego

package kernel

import "math"

// Dispatch: no assembly makes codes here.

func (r *rounding) vectorCodes([]byte, []float32) (n int) { return 0 }

func vectorBounds([]float32) (low, high int32, n int) { return math.MaxInt32, math.MinInt32, 0 }

func vectorMultiplied(_, _ []float32, _, _ float32) (n int) { return 0 }

func vectorDivided(_, _ []float32, _, _, _ float32) (n int) { return 0 }

func vectorHadamard([]float32, float32) bool { return false }
