package model

import (
	"context"
	"math"

	"kvgauge/sim/kernel"
)

// mlp adds what the MLP, or the experts, make of tokens lo to hi to the residual stream.
func (p *Prefill) mlp(ctx context.Context, w *layer, lo, hi, kept int) error {
	n := hi - lo
	x := p.normed(w.beforeMLP, lo, hi)
	out := room(&p.out, n*p.m.Hidden)
	if w.router == nil {
		term := p.term(&w.down, out, n)
		p.linear.Add(p.between(x, n, &w.gate, &w.up), n, w.down.rows.Dim, term)
	} else if err := p.experts(ctx, w, x, out, n, kept); err != nil {
		return err
	}
	p.add(out, w.afterMLP, lo)
	return nil
}

// between is what an MLP multiplies its last matrix with: the activated gate times up.
func (p *Prefill) between(x []float32, n int, gate, up *linear) []float32 {
	width := gate.rows.Len()
	g, u := room(&p.gate, n*width), room(&p.up, n*width)
	p.linear.Add(x, n, p.m.Hidden, p.term(gate, g, n), p.term(up, u, n))
	p.each(n, func(a, b int) { p.m.Activation.apply(g[a*width:b*width], u[a*width:b*width]) })
	return g
}

// experts sets out to what their experts make of n tokens, one expert after the other.
func (p *Prefill) experts(ctx context.Context, w *layer, x, out []float32, n, kept int) error {
	d, e := p.m.Hidden, p.m.Experts
	logits := room(&p.routes, n*e.Count)
	p.linear.Add(x, n, d, p.term(w.router, logits, n))
	clear(out)
	for i, tokens := range e.route(logits, n) {
		if len(tokens) == 0 {
			continue
		}
		p.reader.taken = kept
		gate, up, down, err := p.reader.expert(p.next, i)
		if err != nil {
			return err
		}
		some := room(&p.some, len(tokens)*d)
		for j, c := range tokens {
			copy(some[j*d:(j+1)*d], x[c.token*d:])
		}
		between := p.between(some, len(tokens), &gate, &up)
		p.linear.Add(between, len(tokens), e.Width, p.term(&down, some, len(tokens)))
		p.each(len(tokens), func(a, b int) {
			for j := a; j < b; j++ {
				kernel.Axpy(tokens[j].weight, some[j*d:(j+1)*d], out[tokens[j].token*d:(tokens[j].token+1)*d])
			}
		})
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// finish scales and caps logits.
func (m *Model) finish(logits []float32) {
	if m.LogitScale != 1 {
		for i := range logits {
			logits[i] *= float32(m.LogitScale)
		}
	}
	if m.LogitCap != 0 {
		for i, x := range logits {
			logits[i] = float32(m.LogitCap * math.Tanh(float64(x)/m.LogitCap))
		}
	}
}
