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

// read is how a KV head is read from shared rows.
type read struct {
	key, value cache.Matrix
	numbers    int // that were fitted
}

// readersFold makes the layers that only read the first's rows read them by its matrices: the keys and values that a fit
// wants back are the same.
func readersFold(fold cache.Linear, on *cache.View) {
	for _, layer := range on.Layers[len(on.Makers()):] {
		fold.Key[layer], fold.Value[layer] = fold.Key[on.Layers[0]], fold.Value[on.Layers[0]]
	}
}

// choose returns the maps by which attention over shared rows comes nearest to that over the head's own rows
// k, v. The least-squares fit is the best of rows, not of attention, and now and then loses to no fit at all: so
// fitted and plain maps are tried for keys and for values on the last queries that the view holds, where it holds
// any, and a calibrated head is never worse than a plain one on the text that it was calibrated on.
func (s sharedRows) choose(on *cache.View, queries [][]float32, rules []kernel.Rule, k, v []float32, key, val cache.Matrix) (best read) {
	const most = 64
	n := min(most, on.Queries())
	if n == 0 {
		return read{key, val, s.keyNumber + s.valNumber}
	}
	first := on.Tokens() - n // tokens and rows agree: nothing has been evicted
	sees := kernel.Sights(first, n)
	last := func(q []float32) []float32 { return q[(first-on.FirstQuery)*on.Dim:][:n*on.Dim] }
	wants := make([][]float64, len(queries)) // [query head][n*on.VDim]
	for h, q := range queries {
		logits, lse := kernel.LogitsExact(last(q), on.Dim, rules[h], k, nil, sees)
		wants[h] = kernel.WeightedSumExact(logits, lse, on.VDim, v)
	}
	least := math.Inf(1)
	for _, a := range []struct {
		m       cache.Matrix
		numbers int
	}{{key, s.keyNumber}, {s.plainKey, 0}} {
		var plain, fitted float64
		for h, q := range queries {
			got := s.attend(on, a.m, rules[h], last(q), sees)
			for i := range n {
				row, want := got[i*len(s.v)*on.VDim:(i+1)*len(s.v)*on.VDim], wants[h][i*on.VDim:(i+1)*on.VDim]
				fitted += distanceOf(val, row, want)
				plain += distanceOf(s.plainVal, row, want)
			}
		}
		if fitted < least {
			least, best = fitted, read{a.m, val, a.numbers + s.valNumber}
		}
		if plain < least {
			least, best = plain, read{a.m, s.plainVal, a.numbers}
		}
	}
	return best
}

// attend returns the attention outputs of queries, mapped by a key map, over the shared rows:
// [query][source*on.VDim], with one softmax over the sum of the sources' logits.
func (s sharedRows) attend(on *cache.View, key cache.Matrix, rule kernel.Rule, q []float32, sees []kernel.Sight) []float32 {
	mapped := make([]float32, key.Rows)
	parts := make([][]float32, len(s.k)) // [source][query*on.Dim]
	for i := range sees {
		key.Mul(q[i*on.Dim:(i+1)*on.Dim], mapped)
		for g := range parts {
			parts[g] = append(parts[g], mapped[g*on.Dim:(g+1)*on.Dim]...)
		}
	}
	logits := kernel.DotsExact(parts[0], on.Dim, rule.Scale, s.k[0])
	for g := 1; g < len(parts); g++ {
		for i, x := range kernel.DotsExact(parts[g], on.Dim, rule.Scale, s.k[g]) {
			logits[i] += x
		}
	}
	lse := kernel.DenominatorsExact(logits, rule, nil, sees)
	width := len(s.v) * on.VDim
	out := make([]float32, len(sees)*width)
	for g, head := range s.v {
		for i, x := range kernel.WeightedSumExact(logits, lse, on.VDim, head) {
			out[i/on.VDim*width+g*on.VDim+i%on.VDim] = float32(x)
		}
	}
	return out
}

// distanceOf is |m got - want|^2.
func distanceOf(m cache.Matrix, got []float32, want []float64) float64 {
	mapped := make([]float32, m.Rows)
	m.Mul(got, mapped)
	var sum float64
	for c, x := range mapped {
		d := float64(x) - want[c]
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
