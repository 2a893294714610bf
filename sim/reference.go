package sim

import (
	"context"
	"math"
	"slices"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// massRows is how many keys are multiplied at a time: their logits with 64 queries take half a MiB.
const massRows = 1024

// reference is float64 attention over the unreduced trace, for one trace and length.
type reference struct {
	layers map[int]*exactLayer // by the model's own number
}

// exactLayer is the reference of one layer: a row is step*QHeads + query head.
type exactLayer struct {
	out  []float64 // [row][dim of a value]
	lse  []float64 // [row] log of the softmax denominator of the keys, sinks left out
	late []float64 // [row] mass on minor keys; nil where the trace lacks prompt queries to tell
	// minor [q_head][prompt key]: the key's probability was below 1/t for every one of the last
	// min(256, prompt/4) prompt queries; a query before the key counts as below.
	minor [][]bool
}

// newReference computes the reference of a cell's trace and length.
func newReference(ctx context.Context, c Cell, r *rows, pool *kernel.Pool) (*reference, error) {
	ref := &reference{layers: map[int]*exactLayer{}}
	first := max(c.Trace.FirstQuery(), min(c.firstStep(), c.prompt()-c.lateQueries()))
	for _, layer := range c.Layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l, err := r.layer(layer, c.SeqLen, first)
		if err != nil {
			return nil, err
		}
		ref.layers[layer] = exact(c, layer, l, pool)
	}
	return ref, nil
}

// exact computes the reference of one layer, its heads in parallel.
func exact(c Cell, layer int, l *trace.Layer, pool *kernel.Pool) *exactLayer {
	a := c.Trace.At(layer)
	heads, d, steps, prompt := a.QHeads, a.VDim, c.steps(), c.prompt()
	e := &exactLayer{
		out: make([]float64, steps*heads*d), lse: make([]float64, steps*heads), minor: make([][]bool, heads),
	}
	window := c.lateQueries()
	if l.FirstQuery <= prompt-window {
		e.late = make([]float64, steps*heads)
	}
	sees, rules := kernel.Sights(c.firstStep(), steps), rules(a)
	pool.Run(heads, func(_, h int) {
		k, v := l.K[h/(heads/a.KVHeads)], l.V[h/(heads/a.KVHeads)]
		logits, lse := kernel.LogitsExact(l.Reading(a, h, c.firstStep(), steps), a.KeyDim(), rules[h].WithoutSink(), k, nil, sees)
		withSink := make([]float64, steps)
		for s := range lse {
			withSink[s] = rules[h].WithSink(lse[s])
		}
		out := l.Output(a, h, kernel.WeightedSumExact(logits, withSink, a.ValueDim(), v))
		for s := range steps {
			copy(e.out[(s*heads+h)*d:], out[s*d:(s+1)*d])
			e.lse[s*heads+h] = lse[s]
		}
		if e.late == nil {
			return
		}
		e.minor[h] = minor(c, layer, l, h, window)
		late := make([]float64, 0, prompt)
		for s := range steps {
			late = late[:0]
			for i, m := range e.minor[h] {
				if m {
					late = append(late, logits[s*c.SeqLen+i])
				}
			}
			// The parts are those of mass.sum, so that steps which attend all of them lose exactly nothing.
			for part := range slices.Chunk(late, massRows) {
				e.late[s*heads+h] += kernel.SumExp(part, lse[s])
			}
		}
	})
	return e
}

// minor finds the prompt keys that none of the last window prompt queries gave a probability of 1/t or
// more, t being the number of keys that the query can read. Probabilities in float32 tell it of nearly all keys; queries that
// leave one in doubt are looked at again in float64.
func minor(c Cell, layer int, l *trace.Layer, h, window int) []bool {
	a, prompt := c.Trace.At(layer), c.prompt()
	d, rule := a.KeyDim(), a.Rule(h).WithoutSink()
	k, first := l.K[h/(a.QHeads/a.KVHeads)][:prompt*d], prompt-window
	m := slices.Repeat([]bool{true}, prompt)
	if window == 0 {
		return m
	}
	queries := l.Reading(a, h, first, window)
	scaled := make([]float32, len(queries))
	for i, x := range queries {
		scaled[i] = float32(rule.Scale) * float32(x)
	}
	// Sums of products are off by their length times the rounding at most, exponents and their sums by far less than a
	// thousandth.
	off := float32(1e-3 + 4*float64(d+8)*0x1p-24*longest(scaled, d)*longest(k, d))
	doubts := make([][]int32, window) // [query] keys
	keys := kernel.F32Rows(k, d)
	kernel.CausalProbabilities([][]float32{scaled}, []kernel.Rule{rule}, first, &keys, nil, func(s int, probs []float32) {
		even := 1 / float32(len(probs)-rule.First(first+s))
		above, below := even*(1+off), even*(1-off)
		for i, p := range probs {
			switch {
			case p >= above:
				m[i] = false
			case !(p < below):
				doubts[s] = append(doubts[s], int32(i))
			}
		}
	})
	var again []float64 // queries that decide on a key
	var sees []kernel.Sight
	for s, keys := range doubts {
		if slices.ContainsFunc(keys, func(i int32) bool { return m[i] }) {
			again, sees = append(again, queries[s*d:(s+1)*d]...), append(sees, kernel.Sight{Token: first + s, Rows: first + s + 1})
		}
	}
	for sees := range slices.Chunk(sees, lateBatch) {
		logits, lse := kernel.LogitsExact(again[:len(sees)*d], d, rule, k, nil, sees)
		again = again[len(sees)*d:]
		for s, at := range sees {
			least := lse[s] - math.Log(float64(at.Rows-rule.First(at.Token))) - 1e-6 // logit of probability 1/t, less rounding
			for i, x := range logits[s*prompt : s*prompt+at.Rows] {
				if x >= least {
					m[i] = false
				}
			}
		}
	}
	return m
}

// longest is the length of the longest of some rows.
func longest(rows []float32, dim int) float64 {
	most := float32(0)
	for row := range slices.Chunk(rows, dim) {
		most = max(most, kernel.Dot(row, row))
	}
	return math.Sqrt(float64(most))
}
