package sim

import (
	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// A trace that holds what its model's attention put out (layers.N.o) can be held against its own queries, keys and values: if
// attention over them gives something else, it is not the model's, and no figure of it is worth anything.

const (
	// provedQueries is how many queries of a layer a run compares.
	provedQueries = 64
	// refusedOutputs is how far attention may be from the outputs, as a share of these, before the trace is refused, and
	// doubtfulOutputs before its records are warned: attention in bfloat16 is 0.2 to 0.4 % off.
	refusedOutputs  = 0.02
	doubtfulOutputs = 0.005
	// causeQueries is how many queries the causes of a difference are tried on.
	causeQueries = 16
)

// proof is one layer's attention held against its outputs, for some queries.
type proof struct {
	attention trace.Attention
	layer     *trace.Layer
	first, n  int         // queries
	outputs   [][]float64 // [q_head][n*VDim]
	pool      *kernel.Pool
}

// newProof reads the last n queries of the first tokens of a layer, and its outputs.
func newProof(t *trace.Trace, layer, tokens, n int, pool *kernel.Pool) (*proof, error) {
	p := &proof{attention: *t.At(layer), first: tokens - n, n: n, pool: pool}
	var err error
	if p.layer, err = t.Read(layer, tokens, p.first); err != nil {
		return nil, err
	}
	o, err := t.Outputs(layer, p.first, n)
	if err != nil {
		return nil, err
	}
	p.outputs = widened(o)
	return p, nil
}

// widened are rows in float64.
func widened(heads [][]float32) [][]float64 {
	out := make([][]float64, len(heads))
	for h, rows := range heads {
		for _, x := range rows {
			out[h] = append(out[h], float64(x))
		}
	}
	return out
}

// error is |attention - outputs| / |outputs|, of the rows of a layer attended as a says.
func (p *proof) error(a *trace.Attention, l *trace.Layer) float64 {
	diffs, norms := p.errors(a, l)
	var diff, norm float64
	for h := range diffs {
		diff, norm = diff+diffs[h], norm+norms[h]
	}
	return ratio(diff, norm)
}

// errors are the squares of both, by query head.
func (p *proof) errors(a *trace.Attention, l *trace.Layer) (diffs, norms []float64) {
	diffs, norms = make([]float64, a.QHeads), make([]float64, a.QHeads)
	rules := rules(a)
	p.pool.Run(a.QHeads, func(_, h int) {
		j := h / (a.QHeads / a.KVHeads)
		for lo := 0; lo < p.n; lo += provedQueries { // which bounds memory
			n := min(provedQueries, p.n-lo)
			first, last := p.first+lo, p.first+lo+n
			want := p.outputs[h][lo*a.VDim:]
			logits, lse := kernel.LogitsExact(l.Reading(a, h, first, n), a.KeyDim(), rules[h], l.K[j][:last*a.KeyDim()], nil, kernel.Sights(first, n))
			for i, x := range l.Output(a, h, kernel.WeightedSumExact(logits, lse, a.ValueDim(), l.V[j][:last*a.ValueDim()])) {
				diffs[h] += (x - want[i]) * (x - want[i])
				norms[h] += want[i] * want[i]
			}
		}
	})
	return diffs, norms
}
