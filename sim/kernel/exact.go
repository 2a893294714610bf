package kernel

import (
	"math"
	"slices"
)

// Shared: attention in float64, which errors are measured against.

// LogitsExact returns, in float64, the logits [queries][n] of the queries q [queries][dim] of one head over its keys k
// [n][dim], and the log of each query's softmax denominator: the probability of key i is exp(logit - lse). The keys
// stand at positions pos, ascending; nil is key i at position i. Logits of keys that a query does not read are minus
// infinity, and the denominator of one that reads none, and has no sink, is infinite.
func LogitsExact[F float32 | float64](q []F, dim int, rule Rule, k []float32, pos []int32, sights []Sight) (logits, lse []float64) {
	logits = DotsExact(q[:len(sights)*dim], dim, rule.Scale, k)
	return logits, DenominatorsExact(logits, rule, pos, sights)
}

// DenominatorsExact makes logits of scaled products [queries][n] with all keys, and returns the log of each query's
// softmax denominator, as LogitsExact does.
func DenominatorsExact(logits []float64, rule Rule, pos []int32, sights []Sight) (lse []float64) {
	n := len(logits) / len(sights)
	lse = make([]float64, len(sights))
	for s, sees := range sights {
		row := logits[s*n : (s+1)*n]
		if rule.bends() {
			rule.Logits(row[:sees.Rows], pos, sees.Token)
		}
		lse[s] = rule.WithSink(logSumExp(row[:sees.Rows]))
		if math.IsInf(lse[s], -1) {
			lse[s] = math.Inf(1)
		}
		for i := sees.Rows; i < n; i++ {
			row[i] = math.Inf(-1)
		}
	}
	return lse
}

// DotsExact returns, in float64, the scaled products [queries][n] of the queries q [queries][dim] with the keys
// k [n][dim].
//
// Keys are transposed to columns a block at a time, so that the logits of a block are a product of matrices. The last
// block is multiplied whole too: paths round the columns that do not fill a vector otherwise, and keys that are
// equal must have the same logit wherever they stand.
func DotsExact[F float32 | float64](q []F, dim int, scale float64, k []float32) []float64 {
	queries, n := len(q)/dim, len(k)/dim
	wide := make([]float64, len(q))
	for i, x := range q {
		wide[i] = float64(x) * scale
	}
	logits := make([]float64, queries*n)
	columns := make([]float32, dim*block)
	for lo := 0; lo < n; lo += block {
		width := min(block, n-lo)
		active.transpose(columns, k[lo*dim:(lo+width)*dim], dim)
		if width == block {
			active.product(wide, dim, columns, block, block, logits[lo:], n)
			continue
		}
		last := make([]float64, queries*block)
		active.product(wide, dim, columns, block, block, last, block)
		for s := range queries {
			copy(logits[s*n+lo:(s+1)*n], last[s*block:])
		}
	}
	return logits
}

// Columns is how many rows Transpose takes at most.
const Columns = block

// Transpose writes the rows of src, [rows][dim], to the columns of dst, [dim][Columns].
func Transpose(dst, src []float32, dim int) { active.transpose(dst, src, dim) }

// transpose writes the rows of src, [rows][dim], to the columns of dst, [dim][block]: four rows at a time, so
// that a line of dst is visited a quarter as often.
func transpose(dst, src []float32, dim int) {
	i := 0
	for ; len(src) >= 4*dim; i += 4 {
		r0, r1, r2, r3 := src[:dim], src[dim:2*dim], src[2*dim:3*dim], src[3*dim:4*dim]
		for d := range r0 {
			c := dst[d*block+i:][:4]
			c[0], c[1], c[2], c[3] = r0[d], r1[d], r2[d], r3[d]
		}
		src = src[4*dim:]
	}
	for ; len(src) > 0; i++ {
		for d, x := range src[:dim] {
			dst[d*block+i] = x
		}
		src = src[dim:]
	}
}

// WeightedSumExact returns the attention outputs [queries][dim] for the logits and denominators of LogitsExact
// over the values v [n][dim].
func WeightedSumExact(logits, lse []float64, dim int, v []float32) []float64 {
	n := len(v) / dim
	out := make([]float64, len(lse)*dim)
	p := make([]float64, len(lse)*block)
	for lo := 0; lo < n; lo += block {
		width := min(block, n-lo)
		for s := range lse {
			active.exps64(p[s*width:(s+1)*width], logits[s*n+lo:], lse[s])
		}
		active.product(p[:len(lse)*width], width, v[lo*dim:], dim, dim, out, dim)
	}
	return out
}

// ProductExact returns, in float64, the product of a [rows][n] with b [n][dim].
func ProductExact(a []float64, n int, b []float32, dim int) []float64 {
	out := make([]float64, len(a)/n*dim)
	active.product(a, n, b, dim, dim, out, dim)
	return out
}

// LogitExact is one scaled logit in float64, without vector instructions: what others are held against.
func LogitExact(q, k []float32, scale float64) float64 {
	k = k[:len(q)]
	var s0, s1 float64
	i := 0
	for ; i+2 <= len(q); i += 2 {
		s0 += float64(q[i]) * float64(k[i])
		s1 += float64(q[i+1]) * float64(k[i+1])
	}
	for ; i < len(q); i++ {
		s0 += float64(q[i]) * float64(k[i])
	}
	return scale * (s0 + s1)
}

// logSumExp returns log(sum of exp(x)) without overflow.
func logSumExp(xs []float64) float64 {
	m := [4]float64{math.Inf(-1), math.Inf(-1), math.Inf(-1), math.Inf(-1)}
	rest := xs
	for ; len(rest) >= 4; rest = rest[4:] { // four beside each other: each waits for the one before
		m[0], m[1], m[2], m[3] = max(m[0], rest[0]), max(m[1], rest[1]), max(m[2], rest[2]), max(m[3], rest[3])
	}
	largest := max(m[0], m[1], m[2], m[3])
	for _, x := range rest {
		largest = max(largest, x)
	}
	if math.IsInf(largest, -1) {
		return largest
	}
	return largest + math.Log(SumExp(xs, largest))
}

// Exps fills dst with e^(x-shift) and returns the sum, where shift is the largest of xs or above. dst may be xs.
func Exps(dst, xs []float64, shift float64) (sum float64) {
	return active.exps64(dst[:len(xs)], xs, shift)
}

// SumExp returns the sum of e^(x-shift), where shift is the largest of xs or above.
func SumExp(xs []float64, shift float64) (sum float64) {
	var room [block]float64
	for part := range slices.Chunk(xs, block) {
		sum += active.exps64(room[:len(part)], part, shift)
	}
	return sum
}
