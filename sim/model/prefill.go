package model

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

const (
	blockTokens = 2048 // that go through a layer's matrices at a time
	logitTokens = 256  // whose logits are made at a time
	rowChunk    = 32   // tokens of one part of what is done row by row
)

// Prefill is a text on its way through the layers. What it holds is the residual stream, one layer's weights and rows, and
// what a block of tokens needs between matrices.
type Prefill struct {
	m      *Model
	pool   *kernel.Pool
	linear *kernel.Linear
	reader *reader
	tokens int
	next   int // layer

	x      []float32   // [tokens][hidden] the residual stream
	rows   trace.Layer // of the layer before next
	scaled []float32   // [tokens][head_dim] the queries of one head, times the scale
	angles []*angles   // [of Ropes]
	block              // scratch
	step   func()      // told of every block
}

// block is the memory of a block of tokens.
type block struct {
	normed  []float32 // [tokens][hidden]
	q, k, v []float32 // [tokens][heads*head_dim]
	out     []float32 // [tokens][hidden] what attention or MLP add
	gate    []float32 // [tokens][width of the MLP]
	up      []float32
	routes  []float32 // [tokens][experts] logits of the router
	some    []float32 // [tokens][hidden] of one expert
}

// Prefill starts a text. Its tokens are checked against the vocabulary.
func (m *Model) Prefill(ids []int32, pool *kernel.Pool) (*Prefill, error) {
	if len(ids) == 0 {
		return nil, record.Input(errors.New("no tokens, want at least one"))
	}
	for i, id := range ids {
		if id < 0 || int(id) >= m.Vocabulary {
			return nil, record.Input(fmt.Errorf("model %s: token %d: id %d, want 0 to %d", m.Name, i, id, m.Vocabulary-1))
		}
	}
	p := &Prefill{m: m, pool: pool, linear: kernel.NewLinear(pool), reader: &reader{m: m}, tokens: len(ids), step: func() {}}
	p.x = make([]float32, len(ids)*m.Hidden)
	for t, id := range ids {
		p.reader.again()
		m.embed(p.reader, id, p.x[t*m.Hidden:(t+1)*m.Hidden])
	}
	p.angles = m.anglesOf(len(ids))
	return p, p.reader.err
}

// embed reads the embedding of a token.
func (m *Model) embed(r *reader, id int32, x []float32) {
	row := r.matrix(m.prefix+"embed_tokens.weight", int(id), 1, m.Hidden)
	row.Row(0, x)
	for i := range x {
		x[i] *= m.EmbedScale
	}
}

// anglesOf computes the rotations of a text's positions, for each rotary embedding.
func (m *Model) anglesOf(tokens int) []*angles {
	var list []*angles
	for i := range m.Ropes {
		inv, factor := m.Ropes[i].Frequencies(tokens)
		list = append(list, m.Ropes[i].angles(inv, factor, 0, tokens))
	}
	return list
}

// Next takes all tokens through the next layer, and returns its rows: queries and keys after the rotary embedding, values, and
// what attention put out. They are good until it is called again.
func (p *Prefill) Next(ctx context.Context) (*trace.Layer, error) {
	p.reader.again()
	w, err := p.reader.layer(p.next)
	if err != nil {
		return nil, err
	}
	p.reserve()
	for lo := 0; lo < p.tokens; lo += blockTokens {
		p.project(w, lo, min(lo+blockTokens, p.tokens))
		if err := p.report(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.attend(ctx, w); err != nil {
		return nil, err
	}
	kept := p.reader.taken // experts come and go
	for lo := 0; lo < p.tokens; lo += blockTokens {
		hi := min(lo+blockTokens, p.tokens)
		p.putOut(w, lo, hi)
		if err := p.mlp(ctx, w, lo, hi, kept); err != nil {
			return nil, err
		}
		if err := p.report(ctx); err != nil {
			return nil, err
		}
	}
	p.next++
	return &p.rows, nil
}

// report counts a step, and says whether to end.
func (p *Prefill) report(ctx context.Context) error {
	p.step()
	return ctx.Err()
}

// reserve makes room for the rows of a layer.
func (p *Prefill) reserve() {
	if p.rows.K != nil {
		return
	}
	each := p.tokens * p.m.HeadDim
	heads := func(n int) [][]float32 { return slices.Collect(slices.Chunk(make([]float32, n*each), each)) }
	p.rows.Q, p.rows.K, p.rows.V, p.rows.O = heads(p.m.QHeads), heads(p.m.KVHeads), heads(p.m.KVHeads), heads(p.m.QHeads)
	p.scaled = make([]float32, p.tokens*p.m.HeadDim)
}

// each calls f for parts of n tokens, on all threads.
func (p *Prefill) each(n int, f func(lo, hi int)) {
	p.pool.Run((n+rowChunk-1)/rowChunk, func(_, i int) { f(i*rowChunk, min((i+1)*rowChunk, n)) })
}

// room returns n numbers, those of buf where it holds them.
func room(buf *[]float32, n int) []float32 {
	if cap(*buf) < n {
		*buf = make([]float32, n)
	}
	*buf = (*buf)[:n]
	return *buf
}

// term is the product with a matrix, into n rows of out, which it sets to the bias first.
func (p *Prefill) term(w *linear, out []float32, n int) kernel.Term {
	width := w.rows.Len()
	p.each(n, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			w.begin(out[t*width : (t+1)*width])
		}
	})
	return kernel.Term{W: &w.rows, Out: out, Stride: width}
}

// begin sets a row to the bias.
func (w *linear) begin(row []float32) {
	if w.bias == nil {
		clear(row)
		return
	}
	copy(row, w.bias)
}

// normed returns the residual stream of tokens lo to hi after a norm, or as it is where there is none.
func (p *Prefill) normed(weights []float32, lo, hi int) []float32 {
	d := p.m.Hidden
	x := p.x[lo*d : hi*d]
	if weights == nil {
		return x
	}
	out := room(&p.block.normed, len(x))
	p.each(hi-lo, func(a, b int) {
		for t := a; t < b; t++ {
			rmsNorm(out[t*d:(t+1)*d], x[t*d:(t+1)*d], weights, p.m.Eps)
		}
	})
	return out
}

// add adds to the residual stream of tokens from lo on what attention or MLP made, after a norm where there is one.
func (p *Prefill) add(out, weights []float32, lo int) {
	d := p.m.Hidden
	p.each(len(out)/d, func(a, b int) {
		for t := a; t < b; t++ {
			row := out[t*d : (t+1)*d]
			if weights != nil {
				rmsNorm(row, row, weights, p.m.Eps)
			}
			kernel.Axpy(p.m.ResidualScale, row, p.x[(lo+t)*d:(lo+t+1)*d])
		}
	})
}

// head is what makes logits of the residual stream.
type head struct {
	norm   []float32
	matrix linear
}

// head reads the last norm and the head.
func (r *reader) head() (*head, error) {
	m := r.m
	if m.head == "" {
		return nil, record.Input(fmt.Errorf("model %s: tensor lm_head.weight: missing, want it for logits", printable(m.Path)))
	}
	norm := r.vector(m.prefix+"norm.weight", 0, m.Hidden, m.NormOffset)
	return &head{norm, linear{rows: r.matrix(m.head, 0, m.Vocabulary, m.Hidden)}}, r.err
}

// logits sets out to the logits of tokens lo to hi, [tokens][vocabulary].
func (p *Prefill) logits(h *head, lo, hi int, out []float32) {
	n := p.m.Vocabulary
	p.linear.Add(p.normed(h.norm, lo, hi), hi-lo, p.m.Hidden, p.term(&h.matrix, out, hi-lo))
	p.each(hi-lo, func(a, b int) { p.m.finish(out[a*n : b*n]) })
}

// Logits calls visit with the logits of blocks of tokens, [tokens][vocabulary], of the layers that there are. The model must
// have a head.
func (p *Prefill) Logits(ctx context.Context, visit func(logits []float32) error) error {
	for p.next < p.m.Layers {
		if _, err := p.Next(ctx); err != nil {
			return err
		}
	}
	p.reader.again()
	h, err := p.reader.head()
	if err != nil {
		return err
	}
	out := make([]float32, min(logitTokens, p.tokens)*p.m.Vocabulary)
	for lo := 0; lo < p.tokens; lo += logitTokens {
		hi := min(lo+logitTokens, p.tokens)
		out := out[:(hi-lo)*p.m.Vocabulary]
		p.logits(h, lo, hi, out)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := visit(out); err != nil {
			return err
		}
	}
	return nil
}
