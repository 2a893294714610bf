package sim

import (
	"context"
	"fmt"
	"slices"

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
	// copiedTokens is how many tokens tell that KV heads are copies.
	copiedTokens = 64
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

// doubts are the warnings that a trace's rows and outputs give: KV heads that are copies of each other, and outputs that are
// not what attention gives. It fails where the outputs are too far from it.
func (r *rows) doubts(ctx context.Context, layers []int, pool *kernel.Pool) ([]record.Warning, error) {
	var warnings []record.Warning
	for _, layer := range layers {
		l, err := r.trace.Read(layer, min(copiedTokens, r.tokens), r.tokens)
		if err != nil {
			return nil, err
		}
		if copies := copied(l); copies > 1 {
			warnings = append(warnings, record.Warning{Code: "repeated-heads", Text: fmt.Sprintf(
				"layer %d: its %d KV heads are %d in copies: keys and values repeated for the query heads? want them before repetition", layer, len(l.K), len(l.K)/copies)})
		}
	}
	more, err := CheckOutputs(ctx, r.trace, layers, r.tokens, provedQueries, pool)
	return append(warnings, more...), err
}

// copied is how many adjacent KV heads hold the same rows, at most, where all heads have as many copies; else 1.
func copied(l *trace.Layer) int {
	same := func(a, b int) bool { return slices.Equal(l.K[a], l.K[b]) && slices.Equal(l.V[a], l.V[b]) }
	n := 1
	for n < len(l.K) && same(0, n) {
		n++
	}
	if len(l.K)%n != 0 {
		return 1
	}
	for h := range l.K {
		if !same(h, h/n*n) {
			return 1
		}
	}
	return n
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
	diffs, norms := make([]float64, a.QHeads), make([]float64, a.QHeads)
	rules := rules(a)
	p.pool.Run(a.QHeads, func(_, h int) {
		j := h / (a.QHeads / a.KVHeads)
		for lo := 0; lo < p.n; lo += provedQueries { // which bounds memory
			n := min(provedQueries, p.n-lo)
			first, last := p.first+lo, p.first+lo+n
			q, want := l.Q[h][(first-l.FirstQuery)*a.QKDim:], p.outputs[h][lo*a.VDim:]
			logits, lse := kernel.LogitsExact(q, a.QKDim, rules[h], l.K[j][:last*a.QKDim], nil, kernel.Sights(first, n))
			for i, x := range kernel.WeightedSumExact(logits, lse, a.VDim, l.V[j][:last*a.VDim]) {
				diffs[h] += (x - want[i]) * (x - want[i])
				norms[h] += want[i] * want[i]
			}
		}
	})
	var diff, norm float64
	for h := range diffs {
		diff, norm = diff+diffs[h], norm+norms[h]
	}
	return ratio(diff, norm)
}

