package kernel

import (
	"math"
	"slices"
)

// Formats of codes between the smallest and the largest value of a group of channels, as libraries of models have them:
// they differ in how scale and minimum are found, rounded and stored.

// MLX is mlx's: the value of larger magnitude of the two ends is a code of its own, a multiple of the scale, which has its
// sign, and so zero is one too. Scale and end are stored in binary16.
func MLX(bits, width int) *Blocks {
	most := float64(int(1)<<bits - 1)
	return &Blocks{
		Bits: bits, Width: width, Scale: HalfMin, Table: counting(bits), form: tableForm(bits),
		measure: func(xs []float32) (scale, least float32) {
			lo, hi, _ := extent(xs, 1)
			scale, least = max((hi-lo)/float32(most), 1e-7), lo
			if max(lo, -lo) <= max(hi, -hi) {
				scale, least = -scale, hi
			}
			steps := float32(math.RoundToEven(float64(least / scale)))
			if steps == 0 {
				return scale, 0
			}
			return least / steps, least
		},
		round: rounding{most: float32(most)},
	}
}

// Quanto is quanto's with a float shift, in bfloat16 throughout.
func Quanto(bits, width int) *Blocks {
	most := float32(int(1)<<bits - 1)
	return &Blocks{
		Bits: bits, Width: width, Scale: BF16Min, Table: counting(bits), form: tableForm(bits), narrow: true,
		measure: func(xs []float32) (float32, float32) {
			lo, hi, _ := extent(xs, 1)
			lo, hi = toBF16(lo), toBF16(hi)
			return toBF16(toBF16(hi-lo) / most), lo
		},
		round:   rounding{most: most},
		restore: func(code, scale, least float32) float32 { return toBF16(toBF16(scale*code) + least) },
	}
}

// hqqMost is how often HQQ moves the number that stands for zero, at most.
const hqqMost = 20

// HQQ is half-quadratic quantisation (Badri and Shaji 2023): the number that stands for zero, at first that of the smallest
// value, is moved rounds times towards the least sum of errors to the power of 0.7. Scale and zero are stored in bfloat16.
func HQQ(bits, width, rounds int) *Blocks {
	most := float32(int(1)<<bits - 1)
	return &Blocks{
		Bits: bits, Width: width, Scale: BF16Zero, Table: counting(bits), form: tableForm(bits),
		measure: func(xs []float32) (inverse, zero float32) {
			inverse, zero = hqqStart(xs, most)
			for range rounds {
				zero, _ = hqqStep(xs, inverse, zero, most)
			}
			return inverse, zero
		},
		round:   rounding{most: most},
		restore: func(code, scale, zero float32) float32 { return toBF16(toBF16(code-zero) * scale) },
	}
}

// HQQRounds is how often HQQ moves the zeros of some rows, [head][rows*channels], which it quantises together: until the mean
// error no longer falls.
func HQQRounds(heads [][]float32, bits, width int) int {
	most := float32(int(1)<<bits - 1)
	var groups [][]float32
	var inverse, zero []float32
	for _, rows := range heads {
		for xs := range slices.Chunk(rows, width) {
			i, z := hqqStart(xs, most)
			groups, inverse, zero = append(groups, xs), append(inverse, i), append(zero, z)
		}
	}
	best := math.Inf(1)
	for round := range hqqMost {
		var sum float64
		for g, xs := range groups {
			var err float64
			zero[g], err = hqqStep(xs, inverse[g], zero[g], most)
			sum += err
		}
		if sum >= best {
			return round + 1
		}
		best = sum
	}
	return hqqMost
}

// hqqStart is the inverse of the scale of a group, and the number that stands for zero.
func hqqStart(xs []float32, most float32) (inverse, zero float32) {
	lo, hi, _ := extent(xs, 1)
	lo, hi = toBF16(lo), toBF16(hi)
	inverse = 1
	if hi-lo > 1e-4 {
		inverse = min(most/(hi-lo), 2e4)
	}
	return inverse, -lo * inverse
}

// hqqStep moves the zero of a group once, and returns the sum of errors before.
func hqqStep(xs []float32, inverse, zero, most float32) (moved float32, sum float64) {
	const power, beta = 0.7, 10
	var mean float64
	for _, x := range xs {
		x = toBF16(x)
		code := float32(quantise(float32(x*inverse)+zero, 0, float64(most)))
		off := x - (code-zero)/inverse
		size := float64(max(off, -off))
		sum += size
		// What is left of the error once it is shrunk.
		kept := float64(0)
		if size > 0 {
			kept = max(0, size-math.Pow(size, power-1)/beta)
		}
		if off < 0 {
			kept = -kept
		}
		mean += float64(code - float32((x-float32(kept))*inverse))
	}
	return float32(mean / float64(len(xs))), sum
}

// Zeros8Row is OpenVINO's of a row: codes from 0 to 255 with a scale and the number that stands for zero in binary32.
func Zeros8Row() *Blocks {
	return &Blocks{
		Bits: 8, Scale: FloatZero, Table: counting(8), form: formByte,
		measure: func(xs []float32) (scale, least float32) {
			lo, hi, _ := extent(xs, 1)
			if scale = (hi - lo) / 255; scale == 0 {
				scale = 1e-4
			}
			return scale, lo
		},
		round: rounding{most: 255},
	}
}
