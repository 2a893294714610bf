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
	out  []float64 // [row][dim]
	lse  []float64 // [row] log of the softmax denominator
	late []float64 // [row] mass on minor keys; nil where the trace lacks prompt queries to tell
	// minor [q_head][prompt key]: the key's probability was below 1/t for every one of the last
	// min(256, prompt/4) prompt queries; a query before the key counts as below.
	minor [][]bool
}

// newReference computes the reference of a cell's trace and length.
func newReference(ctx context.Context, c Cell, r *rows, pool *kernel.Pool) (*reference, error) {
	ref := &reference{layers: map[int]*exactLayer{}}
	for _, layer := range c.Layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l, err := r.layer(layer, c.SeqLen)
		if err != nil {
			return nil, err
		}
		ref.layers[layer] = exact(c, l, pool)
	}
	return ref, nil
}

// exact computes the reference of one layer, its heads in parallel.
func exact(c Cell, l *trace.Layer, pool *kernel.Pool) *exactLayer {
	t := c.Trace
	heads, d, steps, prompt := t.QHeads, t.HeadDim, c.steps(), c.prompt()
	e := &exactLayer{
		out: make([]float64, steps*heads*d), lse: make([]float64, steps*heads), minor: make([][]bool, heads),
	}
	window := min(lateWindow, prompt/4)
	if l.FirstQuery <= prompt-window {
		e.late = make([]float64, steps*heads)
	}
	sees := c.sees()
	pool.Run(heads, func(_, h int) {
		k, v := l.K[h/(heads/t.KVHeads)], l.V[h/(heads/t.KVHeads)]
		q := l.Q[h][(c.firstStep()-l.FirstQuery)*d:]
		logits, lse := kernel.LogitsExact(q, d, t.Scale, k, sees)
		out := kernel.WeightedSumExact(logits, lse, d, v, sees)
		for s := range steps {
			copy(e.out[(s*heads+h)*d:], out[s*d:(s+1)*d])
			e.lse[s*heads+h] = lse[s]
		}
		if e.late == nil {
			return
		}
		e.minor[h] = minor(c, l, h, window)
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
// more, t being the query's own 1-based position.
func minor(c Cell, l *trace.Layer, h, window int) []bool {
	t, prompt := c.Trace, c.prompt()
	d := t.HeadDim
	k := l.K[h/(t.QHeads/t.KVHeads)][:prompt*d]
	m := make([]bool, prompt)
	for i := range m {
		m[i] = true
	}
	for lo := prompt - window; lo < prompt; lo += lateBatch {
		hi := min(lo+lateBatch, prompt)
		var sees []int
		for pos := lo; pos < hi; pos++ {
			sees = append(sees, pos+1)
		}
		logits, lse := kernel.LogitsExact(l.Q[h][(lo-l.FirstQuery)*d:(hi-l.FirstQuery)*d], d, t.Scale, k, sees)
		for s, n := range sees {
			least := lse[s] - math.Log(float64(n)) - 1e-6 // logit of probability 1/t, less rounding
			for i, x := range logits[s*prompt : s*prompt+n] {
				if x >= least {
					m[i] = false
				}
			}
		}
	}
	return m
}
