package sim

import (
	"context"
	"fmt"

	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
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

// CheckOutputs compares the reference with the outputs that a trace holds, of the last n queries of its first tokens in
// each of some layers; 0 is all queries. It returns warnings, and an error where the trace is not what its model computed.
func CheckOutputs(ctx context.Context, t *trace.Trace, layers []int, tokens, n int, pool *kernel.Pool) ([]record.Warning, error) {
	var warnings []record.Warning
	for _, number := range layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		held := tokens - t.FirstQuery()
		if !t.At(number).Outputs || held < 1 {
			continue
		}
		if n > 0 {
			held = min(held, n)
		}
		p, err := newProof(t, number, tokens, held, pool)
		if err != nil {
			return nil, err
		}
		switch e := p.error(&p.attention, p.layer); {
		case !(e <= refusedOutputs):
			cause, err := p.cause(t, number)
			if err != nil {
				return nil, err
			}
			return nil, record.Input(fmt.Errorf("trace %s: tensor layers.%d.o: attention over q, k and v is %s away from it, want at most %s: %s",
				t.Name, number, percent(e), percent(refusedOutputs), cause))
		case e > doubtfulOutputs:
			warnings = append(warnings, record.Warning{Code: "outputs-differ", Text: fmt.Sprintf(
				"layer %d: attention over q, k and v is %s away from the outputs that the trace holds", number, percent(e))})
		}
	}
	return warnings, nil
}

func percent(x float64) string { return fmt.Sprintf("%.2g %%", 100*x) }

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
	diffs, norms := make([]float64, a.QHeads), make([]float64, a.QHeads)
	rules, sights := rules(a), kernel.Sights(p.first, p.n)
	p.pool.Run(a.QHeads, func(_, h int) {
		j := h / (a.QHeads / a.KVHeads)
		q := l.Q[h][(p.first-l.FirstQuery)*a.QKDim:]
		logits, lse := kernel.LogitsExact(q, a.QKDim, rules[h], l.K[j][:(p.first+p.n)*a.QKDim], nil, sights)
		for i, x := range kernel.WeightedSumExact(logits, lse, a.VDim, l.V[j][:(p.first+p.n)*a.VDim]) {
			w := p.outputs[h][i]
			diffs[h] += (x - w) * (x - w)
			norms[h] += w * w
		}
	})
	var diff, norm float64
	for h := range diffs {
		diff, norm = diff+diffs[h], norm+norms[h]
	}
	return ratio(diff, norm)
}

