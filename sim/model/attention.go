package model

import (
	"context"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// project makes the queries, keys and values of tokens lo to hi.
func (p *Prefill) project(w *layer, lo, hi int) {
	m, n := p.m, hi-lo
	x := p.normed(w.beforeAttention, lo, hi)
	q, k, v := room(&p.q, n*m.QHeads*m.HeadDim), room(&p.k, n*m.KVHeads*m.HeadDim), room(&p.v, n*m.KVHeads*m.HeadDim)
	p.linear.Add(x, n, m.Hidden, p.term(&w.q, q, n), p.term(&w.k, k, n), p.term(&w.v, v, n))
	var table *angles
	if kind := m.RopeOf[p.next]; kind >= 0 {
		table = p.angles[kind]
	}
	p.each(n, func(a, b int) {
		for t := a; t < b; t++ {
			m.place(q, t, w.qNorm, table, lo+t, p.rows.Q)
			m.place(k, t, w.kNorm, table, lo+t, p.rows.K)
			m.place(v, t, nil, nil, lo+t, p.rows.V)
		}
	})
}

// place normalises and rotates row t of x, [tokens][heads*head_dim], and puts its heads where they belong: row at of each.
func (m *Model) place(x []float32, t int, norm []float32, table *angles, at int, heads [][]float32) {
	d := m.HeadDim
	row := x[t*len(heads)*d : (t+1)*len(heads)*d]
	if norm != nil && m.QKNorm == WholeNorm {
		rmsNorm(row, row, norm, m.Eps)
	}
	for h, head := range heads {
		to, from := head[at*d:(at+1)*d], row[h*d:(h+1)*d]
		if norm != nil && m.QKNorm == HeadNorm {
			rmsNorm(to, from, norm, m.Eps)
		} else {
			copy(to, from)
		}
		if table != nil {
			table.rotate(to, at)
		}
	}
}

// attend fills in what attention puts out, of all tokens.
func (p *Prefill) attend(ctx context.Context, w *layer) error {
	m, d := p.m, p.m.HeadDim
	a := m.attention(p.next, w.sinks)
	group := m.QHeads / m.KVHeads
	for h, q := range p.rows.Q {
		for i, x := range q {
			p.scaled[i] = x * float32(a.Scale)
		}
		k, v := kernel.F32Rows(p.rows.K[h/group], d), kernel.F32Rows(p.rows.V[h/group], d)
		kernel.Causal(p.pool, p.scaled, a.Rule(h), 0, &k, &v, p.rows.O[h], nil)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	p.step()
	return nil
}

// attention is that of a layer, as a trace says it, without the rotary embedding.
func (m *Model) attention(l int, sinks []float32) trace.Attention {
	a := trace.Attention{
		QHeads: m.QHeads, KVHeads: m.KVHeads, QKDim: m.HeadDim, VDim: m.HeadDim,
		Window: m.Window[l], Scale: m.Scale, Softcap: m.Softcap, RopeFactor: 1, Outputs: true,
	}
	for _, s := range sinks {
		a.Sinks = append(a.Sinks, float64(s))
	}
	return a
}

// putOut adds what attention put out for tokens lo to hi to the residual stream.
func (p *Prefill) putOut(w *layer, lo, hi int) {
	m, d, n := p.m, p.m.HeadDim, hi-lo
	width := m.QHeads * d
	o := room(&p.q, n*width)
	p.each(n, func(a, b int) {
		for h, head := range p.rows.O {
			for t := a; t < b; t++ {
				copy(o[t*width+h*d:][:d], head[(lo+t)*d:])
			}
		}
	})
	out := room(&p.out, n*m.Hidden)
	p.linear.Add(o, n, width, p.term(&w.o, out, n))
	p.add(out, w.afterAttention, lo)
}
