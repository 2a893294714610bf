package kernel

import "math"

// LogitsExact returns, in float64, the scaled logits [queries][n] of the queries q [queries][dim] of one
// head over its keys k [n][dim], and the log of each query's softmax denominator: the probability of key
// i is exp(logit - lse). Query s sees the first sees[s] keys; logits beyond are minus infinity. Each key
// row is widened once for all queries.
func LogitsExact(q []float32, dim int, scale float64, k []float32, sees []int) (logits, lse []float64) {
	n := len(k) / dim
	wide := make([]float64, len(q))
	widen(wide, q)
	for i := range wide {
		wide[i] *= scale
	}
	logits = make([]float64, len(sees)*n)
	row := make([]float64, dim)
	for i := range n {
		widen(row, k[i*dim:(i+1)*dim])
		for s := range sees {
			if i < sees[s] {
				logits[s*n+i] = dot64(wide[s*dim:(s+1)*dim], row)
			} else {
				logits[s*n+i] = math.Inf(-1)
			}
		}
	}
	lse = make([]float64, len(sees))
	for s := range lse {
		lse[s] = logSumExp(logits[s*n : (s+1)*n])
	}
	return logits, lse
}

// WeighExact returns the attention outputs [queries][dim] for the logits and denominators of LogitsExact
// over the values v [n][dim].
func WeighExact(logits, lse []float64, dim int, v []float32, sees []int) []float64 {
	out := make([]float64, len(sees)*dim)
	row := make([]float64, dim)
	n := len(v) / dim
	for i := range n {
		widen(row, v[i*dim:(i+1)*dim])
		for s := range sees {
			if i < sees[s] {
				axpy64(math.Exp(logits[s*n+i]-lse[s]), row, out[s*dim:(s+1)*dim])
			}
		}
	}
	return out
}

// LogitExact is one scaled logit in float64.
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
	m := math.Inf(-1)
	for _, x := range xs {
		m = max(m, x)
	}
	var sum float64
	for _, x := range xs {
		sum += math.Exp(x - m)
	}
	return m + math.Log(sum)
}
