//go:build amd64 && !purego

package kernel

import "math"

// Dispatch: codes by the assembly, of whole steps of 16 values; what is left is the caller's. The functions are called by name,
// and not as fields of a path, so that scratch on the caller's stack stays there.

// vectorCodes is codes for the first n values.
func (r *rounding) vectorCodes(codes []byte, xs []float32) (n int) {
	n = len(xs) &^ 15
	if n == 0 || active.lanes == 0 {
		return 0
	}
	dst, x, wide := &codes[:n][0], &xs[0], active.lanes == 16
	switch r.how {
	case roundEven:
		if wide {
			roundEvenAVX512(dst, x, n, r.least, r.most)
		} else {
			roundEvenAVX2(dst, x, n, r.least, r.most)
		}
	case roundAway:
		if wide {
			roundAwayAVX512(dst, x, n, r.least, r.most)
		} else {
			roundAwayAVX2(dst, x, n, r.least, r.most)
		}
	case roundDown:
		if wide {
			roundDownAVX512(dst, x, n, r.least, r.most, r.zero, r.half)
		} else {
			roundDownAVX2(dst, x, n, r.least, r.most, r.zero, r.half)
		}
	case roundSteps:
		if wide {
			roundStepsAVX512(dst, x, n, &r.steps[0])
		} else {
			roundStepsAVX2(dst, x, n, &r.steps[0])
		}
	case roundSigned, roundUnsigned:
		zero := float32(0)
		if r.how == roundSigned {
			zero = minusZero // which a sum with it stays
		}
		if wide {
			roundSignedAVX512(dst, x, n, &r.steps[0], zero)
		} else {
			roundSignedAVX2(dst, x, n, &r.steps[0], zero)
		}
	default:
		m := r.float
		if m.bits != 8 {
			return 0
		}
		number := math.Float32frombits
		first, drop := uint32(127+m.least), uint32(23-m.fraction)
		normal, unit, below := number(first<<23), number((first+drop)<<23), number(1<<(drop-1)-1)
		base, most := number((first-1)<<m.fraction), number(uint32(m.most))
		if wide {
			roundFloatAVX512(dst, x, n, normal, unit, below, base, most, number(drop))
		} else {
			roundFloatAVX2(dst, x, n, normal, unit, below, base, most, number(drop))
		}
	}
	return n
}

// vectorBounds is bounds of the first n values.
func vectorBounds(xs []float32) (low, high int32, n int) {
	n = len(xs) &^ 15
	switch {
	case n == 0 || active.lanes == 0:
		return math.MaxInt32, math.MinInt32, 0
	case active.lanes == 16:
		low, high = extentAVX512(&xs[0], n)
	default:
		low, high = extentAVX2(&xs[0], n)
	}
	return low, high, n
}

// vectorMultiplied sets the first n of dst to (x - least)*factor.
func vectorMultiplied(dst, xs []float32, least, factor float32) (n int) {
	n = len(xs) &^ 15
	switch {
	case n == 0 || active.lanes == 0:
		return 0
	case active.lanes == 16:
		multipliedAVX512(&dst[:n][0], &xs[0], n, least, factor)
	default:
		multipliedAVX2(&dst[:n][0], &xs[0], n, least, factor)
	}
	return n
}

// vectorDivided sets the first n of dst to (x - least)/scale + zero.
func vectorDivided(dst, xs []float32, least, scale, zero float32) (n int) {
	n = len(xs) &^ 15
	switch {
	case n == 0 || active.lanes == 0:
		return 0
	case active.lanes == 16:
		dividedAVX512(&dst[:n][0], &xs[0], n, least, scale, zero)
	default:
		dividedAVX2(&dst[:n][0], &xs[0], n, least, scale, zero)
	}
	return n
}

// laneSigns are -1 where the number of a lane has bit 1, 2, 4 or 8.
var laneSigns = func() (signs [4][16]float32) {
	for bit := range signs {
		for lane := range signs[bit] {
			signs[bit][lane] = float32(1 - 2*(lane>>bit&1))
		}
	}
	return signs
}()

// vectorHadamard is hadamard, where x is long enough.
func vectorHadamard(x []float32, scale float32) bool {
	switch {
	case len(x) < 16 || active.lanes == 0:
		return false
	case active.lanes == 16:
		hadamardAVX512(&x[0], len(x), &laneSigns[0][0], scale)
	default:
		hadamardAVX2(&x[0], len(x), &laneSigns[0][0], scale)
	}
	return true
}
