package sim

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"kvgauge/sim/trace"
)

// cause says what would explain the difference, of the usual mistakes: each is tried, and named where attention without it
// is what the outputs are; where none is alone, the best of what can be fitted with each of the others.
func (p *proof) cause(t *trace.Trace, layer int) (string, error) {
	p.lessen(causeQueries)
	named, err := p.misplaced(t, layer)
	if err != nil {
		return "", err
	}
	best, least := -1, math.Inf(1)
	for i, f := range fits {
		a := p.attention
		f.mend(p, &a)
		switch e := p.error(&a, p.layer); {
		case e <= doubtfulOutputs:
			named = append(named, f.name(p, &a))
		case e < least:
			best, least = i, e
		}
	}
	if named == nil && best >= 0 {
		first := p.attention
		fits[best].mend(p, &first)
		for i, f := range fits {
			a := first
			if f.mend(p, &a); i != best && p.error(&a, p.layer) <= doubtfulOutputs {
				named = append(named, fits[best].name(p, &first)+" and "+f.name(p, &a))
			}
		}
	}
	if named == nil {
		return "neither transposed axes, nor another order of heads, another scale, a window, a chunk, a soft cap, sinks or ALiBi slopes explain it", nil
	}
	return "it is what they are with " + strings.Join(named, ", or with "), nil
}

// lessen keeps the last n queries.
func (p *proof) lessen(n int) {
	if p.n <= n {
		return
	}
	for h, o := range p.outputs {
		p.outputs[h] = o[(p.n-n)*p.attention.VDim:]
	}
	p.first, p.n = p.first+p.n-n, n
}

// misplaced names the orders of rows in which the outputs are what attention gives: axes that are transposed, in what the
// tensors hold or in their shapes too, and query heads that read other KV heads.
func (p *proof) misplaced(t *trace.Trace, layer int) (named []string, err error) {
	if p.first+p.n == t.Tokens {
		whole, err := t.Read(layer, t.Tokens, 0)
		if err != nil {
			return nil, err
		}
		if p.error(&p.attention, scrambled(whole, &p.attention)) <= doubtfulOutputs {
			what := "q, k and v lie"
			if p.attention.Latent() {
				what = "q lies"
			}
			named = append(named, "axes transposed: "+what+" heads first, as views are written (numpy.ascontiguousarray)")
		}
		if s, err := p.swapped(t, layer, whole); err != nil {
			return nil, err
		} else if s != nil && s.error(&s.attention, s.layer) <= doubtfulOutputs {
			named = append(named, "axes transposed: heads stand where tokens should, want [tokens, heads, channels]")
		}
	}
	if order := p.reordered(); order != "" {
		named = append(named, order)
	}
	if p.attention.Latent() && p.error(&p.attention, rotatedFirst(p.layer, &p.attention)) <= doubtfulOutputs {
		named = append(named, "q with the channels first that read k_rope, want those without rotation first")
	}
	return named, nil
}

// reordered names another order of heads in which the outputs are what attention gives; "" where there is none.
func (p *proof) reordered() string {
	a := &p.attention
	cyclic, backwards := make([]int, a.QHeads), make([]int, a.QHeads)
	for h := range a.QHeads {
		cyclic[h], backwards[h] = h%a.KVHeads, a.KVHeads-1-h/(a.QHeads/a.KVHeads)
	}
	switch order := p.kvHeads(p.layer); {
	case order == nil:
	case slices.Equal(order, cyclic):
		return "KV heads repeated in another order: query head h reads KV head h mod KV heads"
	case slices.Equal(order, backwards):
		return "KV heads in reverse order in k and v"
	default:
		return fmt.Sprintf("KV heads in another order: query heads read KV heads %s", strings.Trim(fmt.Sprint(order), "[]"))
	}
	turned := *p.layer
	turned.Q = slices.Clone(turned.Q)
	slices.Reverse(turned.Q)
	switch order := p.kvHeads(&turned); {
	case order == nil:
	case slices.Equal(order, backwards) && a.KVHeads > 1:
		return "heads in reverse order in the outputs"
	case slices.Equal(order, backwards): // one KV head: nothing tells
		return "heads in reverse order in q or in the outputs"
	case slices.IsSorted(order):
		return "heads in reverse order in q"
	}
	return ""
}

// kvHeads are the KV heads with which each query head's outputs are what attention gives; nil where some have none.
func (p *proof) kvHeads(l *trace.Layer) []int {
	a := p.attention
	order, least := make([]int, a.QHeads), slices.Repeat([]float64{math.Inf(1)}, a.QHeads)
	var norms []float64
	for j := range a.KVHeads {
		one := *l
		one.K, one.V = slices.Repeat(l.K[j:j+1], a.KVHeads), slices.Repeat(l.V[j:j+1], a.KVHeads)
		var diffs []float64
		diffs, norms = p.errors(&a, &one)
		for h, d := range diffs {
			if d < least[h] {
				order[h], least[h] = j, d
			}
		}
	}
	for h, d := range least {
		if ratio(d, norms[h]) > doubtfulOutputs {
			return nil
		}
	}
	return order
}

// rotatedFirst is a latent layer whose queries hold the channels first that read the shared keys, put right.
func rotatedFirst(l *trace.Layer, a *trace.Attention) *trace.Layer {
	turned := *l
	turned.Q = nil
	for _, rows := range l.Q {
		q := make([]float32, 0, len(rows))
		for row := range slices.Chunk(rows, a.QKDim) {
			q = append(append(q, row[a.SharedDim:]...), row[:a.SharedDim]...)
		}
		turned.Q = append(turned.Q, q)
	}
	return &turned
}

// scrambled is a layer whose tensors hold [heads, tokens, channels] though their shapes say [tokens, heads, channels].
func scrambled(l *trace.Layer, a *trace.Attention) *trace.Layer {
	turned := func(heads [][]float32, dim int) [][]float32 {
		rows := len(heads[0]) / dim
		out := make([][]float32, len(heads))
		for h := range out {
			for i := range rows {
				at := h*rows + i // of the tensor's rows
				out[h] = append(out[h], heads[at%len(heads)][at/len(heads)*dim:][:dim]...)
			}
		}
		return out
	}
	return &trace.Layer{K: turned(l.K, a.KeyDim()), V: turned(l.V, a.ValueDim()), Q: turned(l.Q, a.QKDim), FirstQuery: l.FirstQuery, Up: l.Up}
}

// swapped is the proof of a layer whose heads and tokens have changed places, in shapes too; nil where counts rule it out.
func (p *proof) swapped(t *trace.Trace, layer int, whole *trace.Layer) (*proof, error) {
	a := p.attention
	if a.Latent() || a.QHeads != a.KVHeads || t.Queries != t.Tokens || t.Tokens >= a.QHeads {
		return nil, nil
	}
	all, err := t.Outputs(layer, 0, t.Tokens)
	if err != nil {
		return nil, err
	}
	turned := func(heads [][]float32, dim int) [][]float32 {
		out := make([][]float32, t.Tokens)
		for h := range out {
			for _, rows := range heads {
				out[h] = append(out[h], rows[h*dim:(h+1)*dim]...)
			}
		}
		return out
	}
	s := &proof{
		attention: a, first: 0, n: a.QHeads, pool: p.pool, outputs: widened(turned(all, a.VDim)),
		layer: &trace.Layer{K: turned(whole.K, a.QKDim), V: turned(whole.V, a.VDim), Q: turned(whole.Q, a.QKDim)},
	}
	s.attention.QHeads, s.attention.KVHeads = t.Tokens, t.Tokens
	s.lessen(causeQueries)
	return s, nil
}
