package sim

import (
	"math"
	"testing"

	"kvgauge/sim/trace"
)

// plainHead is one KV head, [token][channel].
type plainHead struct{ k, v [][]float64 }

// plainLayer returns the KV heads of a layer and its queries, [query head][token][channel].
func plainLayer(t *testing.T, tr *trace.Trace, layer, tokens int) (heads []plainHead, q [][][]float64) {
	t.Helper()
	l, err := tr.Read(layer, tokens, 0)
	if err != nil {
		t.Fatal(err)
	}
	cut := func(flat []float32) (rows [][]float64) {
		for len(flat) > 0 {
			row := make([]float64, tr.Attention[0].QKDim)
			for c := range row {
				row[c] = float64(flat[c])
			}
			rows, flat = append(rows, row), flat[tr.Attention[0].QKDim:]
		}
		return rows
	}
	for j := range l.K {
		heads = append(heads, plainHead{cut(l.K[j]), cut(l.V[j])})
	}
	for h := range l.Q {
		q = append(q, cut(l.Q[h]))
	}
	return heads, q
}

// pooled stores the means of neighbouring heads, so many of them, in f16.
func pooled(heads []plainHead, to int) []plainHead {
	group := len(heads) / to
	average := func(first int, of func(plainHead) [][]float64) (rows [][]float64) {
		for t, row := range of(heads[first]) {
			sums := make([]float64, len(row))
			for c := range sums {
				for _, h := range heads[first : first+group] {
					sums[c] += of(h)[t][c]
				}
				sums[c] = half(float32(sums[c] / float64(group)))
			}
			rows = append(rows, sums)
		}
		return rows
	}
	var out []plainHead
	for j := range to {
		out = append(out, plainHead{
			average(j*group, func(h plainHead) [][]float64 { return h.k }),
			average(j*group, func(h plainHead) [][]float64 { return h.v }),
		})
	}
	return out
}

// half rounds to the nearest float16, ties to even. It leaves subnormal ones, below 6e-5, a few bits too many.
func half(x float32) float64 {
	b := math.Float32bits(x)
	b += 0xfff + b>>13&1
	return float64(math.Float32frombits(b &^ 0x1fff))
}

// attend is softmax attention over some positions, and their probabilities.
func (p plainHead) attend(q []float64, pos []int32, scale float64) (out, prob []float64) {
	largest := math.Inf(-1)
	for _, t := range pos {
		z := 0.0
		for c := range q {
			z += scale * q[c] * p.k[t][c]
		}
		prob, largest = append(prob, z), max(largest, z)
	}
	sum := 0.0
	for i, z := range prob {
		prob[i] = math.Exp(z - largest)
		sum += prob[i]
	}
	out = make([]float64, len(p.v[0]))
	for i, t := range pos {
		prob[i] /= sum
		for c := range out {
			out[c] += prob[i] * p.v[t][c]
		}
	}
	return out, prob
}

// upTo lists the positions that the query of a token sees.
func upTo(token int) []int32 {
	pos := make([]int32, token+1)
	for i := range pos {
		pos[i] = int32(i)
	}
	return pos
}

// relative is the size of some errors against that of what they are errors of, from the squares of both.
func relative(diffs, norms []float64) float64 {
	var diff, norm float64
	for i := range diffs {
		diff, norm = diff+diffs[i], norm+norms[i]
	}
	return math.Sqrt(diff / norm)
}

func mean(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}
