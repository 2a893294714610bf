package method

import (
	"math"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// sharedRows are what one KV head is to be read from: the rows of source heads that are stored in its place.
type sharedRows struct {
	k, v      [][]float32 // [source][rows*dim]
	plainKey  cache.Matrix
	plainVal  cache.Matrix // how the rows are read without a fit
	keyNumber int          // numbers that a fitted key map is made of
	valNumber int
}

// choose returns the maps by which attention over shared rows comes nearest to that over the head's own
// rows k, v, and how many fitted numbers they are made of. The least-squares fit is the best of rows, not of
// attention, and now and then loses to no fit at all: so fitted and plain maps are tried for keys and for
// values on the last queries that the view holds, and a calibrated head is never worse than a plain one on
// the text that it was calibrated on.
func (s sharedRows) choose(on *cache.View, queries [][]float32, k, v []float32, key, val cache.Matrix) (bestKey, bestVal cache.Matrix, numbers int) {
	const most = 64
	n := min(most, on.Queries())
	first := on.Tokens() - n // tokens and rows agree: nothing has been evicted
	least := math.Inf(1)
	for _, a := range []struct {
		m       cache.Matrix
		numbers int
	}{{key, s.keyNumber}, {s.plainKey, 0}} {
		var plain, fitted float64
		for _, q := range queries {
			for i := range n {
				at := (first + i - on.FirstQuery) * on.Dim
				row := q[at : at+on.Dim]
				want := weighted(softmax(on.Scale, row, [][]float32{k}, first+i+1), [][]float32{v}, on.VDim)
				turned := make([]float32, a.m.Rows)
				a.m.Mul(row, turned)
				got := weighted(softmax(on.Scale, turned, s.k, first+i+1), s.v, on.VDim)
				fitted += distanceOf(val, got, want)
				plain += distanceOf(s.plainVal, got, want)
			}
		}
		if fitted < least {
			least, bestKey, bestVal, numbers = fitted, a.m, val, a.numbers+s.valNumber
		}
		if plain < least {
			least, bestKey, bestVal, numbers = plain, a.m, s.plainVal, a.numbers
		}
	}
	return bestKey, bestVal, numbers
}

// softmax returns the probabilities of the first n rows of source heads side by side, for one query.
func softmax(scale float64, q []float32, k [][]float32, n int) []float64 {
	dim := len(q) / len(k)
	p := make([]float64, n)
	largest := math.Inf(-1)
	for i := range p {
		for g, head := range k {
			p[i] += kernel.LogitExact(q[g*dim:(g+1)*dim], head[i*dim:(i+1)*dim], scale)
		}
		largest = max(largest, p[i])
	}
	var sum float64
	for i, x := range p {
		p[i] = math.Exp(x - largest)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// weighted returns the weighted sum of the rows of source heads, side by side.
func weighted(p []float64, v [][]float32, dim int) []float32 {
	out := make([]float32, 0, len(v)*dim)
	sums := make([]float64, dim)
	for _, head := range v {
		clear(sums)
		for i, w := range p {
			for c, x := range head[i*dim : (i+1)*dim] {
				sums[c] += w * float64(x)
			}
		}
		for _, x := range sums {
			out = append(out, float32(x))
		}
	}
	return out
}

// distanceOf is |m got - want|^2.
func distanceOf(m cache.Matrix, got, want []float32) float64 {
	turned := make([]float32, m.Rows)
	m.Mul(got, turned)
	var sum float64
	for c, x := range turned {
		d := float64(x) - float64(want[c])
		sum += d * d
	}
	return sum
}

// selection is the [rows][cols] matrix of ones on the diagonal that begins at row, col.
func selection(rows, cols, row, col int) cache.Matrix {
	m := cache.NewMatrix(rows, cols)
	for i := range min(rows-row, cols-col) {
		m.Row(row + i)[col+i] = 1
	}
	return m
}
