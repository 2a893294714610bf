package sim

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
)

// accumulator gathers the errors of a cell's output rows, one row a layer, step and query head.
type accumulator struct {
	cell   Cell
	layers []layerErrors // by the order of the cell's layers
	byRow  []float64     // |O'-O| / |O| of every row whose O is not zero
	cosine float64       // sum over rows
	maxAbs float64
	mass   mass

	asked, found float64 // needles
	bad          error   // the first output that is not a number
}

// layerErrors sums squares over the rows of one layer, by quarter of the steps.
type layerErrors struct{ diff, norm [4]float64 }

func newAccumulator(c Cell) accumulator {
	return accumulator{cell: c, layers: make([]layerErrors, len(c.Layers)), mass: newMass(c)}
}

// add compares the outputs of one step of one layer, out [q_heads*dim], with the reference, and notes which
// entries the store attended.
func (a *accumulator) add(pool *kernel.Pool, ref *exactLayer, layer, i int, store *cache.Store, out []float32) {
	c := a.cell
	heads, d := c.Trace.At(layer).QHeads, c.Trace.At(layer).VDim
	sums, quarter := &a.layers[slices.Index(c.Layers, layer)], 4*i/c.steps()
	for h := range heads {
		row := i*heads + h
		diff, norm := a.row(out[h*d:(h+1)*d], ref.out[row*d:(row+1)*d], layer, i, h)
		sums.diff[quarter] += diff
		sums.norm[quarter] += norm
	}
	if c.Pipeline.Partial {
		a.mass.note(pool, layer, i, store)
	}
	a.needles(layer, i, store)
}

// row compares one output row and returns the squares of its error and of its norm.
func (a *accumulator) row(got []float32, want []float64, layer, i, h int) (diff, norm float64) {
	var gotNorm, dot float64
	for k, w := range want {
		g := float64(got[k])
		diff += (g - w) * (g - w)
		norm += w * w
		gotNorm += g * g
		dot += g * w
		a.maxAbs = max(a.maxAbs, math.Abs(g-w))
	}
	if math.IsNaN(diff) || math.IsInf(diff, 0) {
		if a.bad == nil {
			a.bad = fmt.Errorf("layer %d: token %d: query head %d: the attention output is not finite", layer, a.cell.firstStep()+i, h)
		}
		return diff, norm
	}
	if norm == 0 { // a head of zeros: it has no relative error
		return diff, norm
	}
	a.byRow = append(a.byRow, ratio(diff, norm))
	if gotNorm > 0 {
		a.cosine += dot / math.Sqrt(gotNorm*norm)
	}
	return diff, norm
}

// ratio is sqrt(diff/norm), and 0 for two zero rows.
func ratio(diff, norm float64) float64 {
	if diff == 0 {
		return 0
	}
	return math.Sqrt(diff / norm)
}

// needles counts the needles that this step's query asks for, and those still in the cache. A needle's
// head may stand in several stored heads, or share one.
func (a *accumulator) needles(layer, i int, store *cache.Store) {
	c := a.cell
	pos := c.firstStep() + i
	for _, n := range c.Trace.Needles {
		if n.Layer != layer || n.Query != pos {
			continue
		}
		per := float64(store.Heads()) / float64(c.Trace.At(layer).KVHeads) // stored heads a KV head
		first := int(float64(n.KVHead) * per)
		last := max(first+1, int(float64(n.KVHead+1)*per))
		for h := first; h < last; h++ {
			a.asked++
			if slices.Contains(store.Pos(h), int32(n.Key)) {
				a.found++
			}
		}
	}
}

// stats sums up. It fails where an output was not a number, or where the reference is zero and the
// output is not.
func (a *accumulator) stats() (*record.ErrorStats, error) {
	if a.bad != nil {
		return nil, a.bad
	}
	s := &record.ErrorStats{MaxAbs: new(a.maxAbs), RelL2Layers: []float64{}, RelL2Quarters: []float64{}}
	quarters := make([][]float64, 4)
	for _, l := range a.layers {
		s.RelL2Layers = append(s.RelL2Layers, ratio(floats.Sum(l.diff[:]), floats.Sum(l.norm[:])))
		for q := range quarters {
			if l.norm[q] > 0 {
				quarters[q] = append(quarters[q], ratio(l.diff[q], l.norm[q]))
			}
		}
	}
	s.RelL2 = stat.Mean(s.RelL2Layers, nil)
	s.RelL2WorstLayer = new(floats.Max(s.RelL2Layers))
	for _, q := range quarters {
		if len(q) > 0 {
			s.RelL2Quarters = append(s.RelL2Quarters, stat.Mean(q, nil))
		}
	}
	infinite := math.IsInf(s.RelL2, 0)
	if rows := len(a.byRow); rows > 0 {
		slices.Sort(a.byRow)
		p95 := stat.Quantile(0.95, stat.Empirical, a.byRow, nil)
		s.RelL2P95, s.Cosine = &p95, new(a.cosine/float64(rows))
		infinite = infinite || math.IsInf(p95, 0)
	}
	if infinite {
		return nil, fmt.Errorf("the reference attention output of a layer is zero where the method's is not: no relative error")
	}
	if a.cell.Pipeline.Partial && a.mass.rows > 0 {
		rows := float64(a.mass.rows)
		mass := a.mass.held / rows
		s.Mass = &mass
		if a.mass.lateKnown {
			late := a.mass.late / rows
			s.LateMass = &late
		}
	}
	if a.asked > 0 {
		recall := a.found / a.asked
		s.Recall = &recall
	}
	return s, nil
}
