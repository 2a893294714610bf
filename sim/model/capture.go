package model

import (
	"context"
	"fmt"

	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// Capture is what of a text's pass is written, and where.
type Capture struct {
	Tokens []int32
	Source string // free text of the trace
	Layers []int  // the model's own numbers, ascending; nil: all
	Last   int    // of how many of the last tokens the queries are kept; 0: all
	Dtype  string // F32, F16 or BF16, of the rows
	Path   string // of the trace
	Logits string // of the logits, F32 [tokens, vocabulary]; "": none, and the head is not run

	Pool     *kernel.Pool
	Progress func(done, total int) // nil: nobody asks
}

// Write takes the tokens through the model and writes a trace of version 2 with the rows of each layer as they are made, and
// what attention put out (layers.N.o), by which the trace can be checked. Layers that nothing is kept of are gone through
// only where one after them is, or the logits.
func (c Capture) Write(ctx context.Context, m *Model) error {
	if err := c.check(m); err != nil {
		return err
	}
	p, err := m.Prefill(c.Tokens, c.Pool)
	if err != nil {
		return err
	}
	h, err := m.header(c)
	if err != nil {
		return err
	}
	c.count(p, h.Layers[len(h.Layers)-1]+1)
	first := h.FirstQuery() * m.HeadDim
	t := trace.Made(h, c.Tokens, func(layer int) (*trace.Layer, error) {
		for {
			at := p.next
			rows, err := p.Next(ctx)
			if err != nil {
				return nil, err
			}
			if at == layer {
				kept := *rows
				kept.FirstQuery, kept.Q, kept.O = h.FirstQuery(), from(rows.Q, first), from(rows.O, first)
				return &kept, nil
			}
		}
	})
	if err := trace.Write(ctx, c.Path, t, c.Dtype, nil); err != nil {
		return record.InPath("out", err)
	}
	if c.Logits == "" {
		return nil
	}
	return record.InPath("logits", trace.WriteFloats(ctx, c.Logits, "logits", len(c.Tokens), m.Vocabulary, func(put func([]float32) error) error {
		return p.Logits(ctx, put)
	}))
}

// from leaves out the first numbers of each head.
func from(heads [][]float32, first int) (rest [][]float32) {
	for _, head := range heads {
		rest = append(rest, head[first:])
	}
	return rest
}

// check refuses what the model does not have.
func (c Capture) check(m *Model) error {
	for _, l := range c.Layers {
		if l < 0 || l >= m.Layers {
			return &record.InputError{Option: "layers", Err: fmt.Errorf("layer %d, want 0 to %d, those of the model", l, m.Layers-1)}
		}
	}
	if c.Last > len(c.Tokens) {
		return &record.InputError{Option: "last", Err: fmt.Errorf("%d tokens, want at most the %d of the text", c.Last, len(c.Tokens))}
	}
	if c.Logits != "" && m.head == "" {
		return &record.InputError{Option: "logits", Err: fmt.Errorf("model %s: tensor lm_head.weight: missing, want it for logits", printable(m.Path))}
	}
	return nil
}

// count makes the pass tell of its progress, through so many layers and the logits.
func (c Capture) count(p *Prefill, layers int) {
	if c.Progress == nil {
		return
	}
	blocks := (p.tokens + blockTokens - 1) / blockTokens
	if c.Logits != "" {
		layers = p.m.Layers
	}
	done, total := 0, layers*(2*blocks+1)
	p.step = func() {
		done++
		c.Progress(done, total)
	}
}

// header is that of the trace.
func (m *Model) header(c Capture) (trace.Header, error) {
	h := trace.Header{
		Name: m.Name, Model: m.Name, Source: c.Source, Layers: c.Layers, NumLayers: m.Layers, Tokens: len(c.Tokens), Queries: c.Last,
	}
	if h.Queries == 0 {
		h.Queries = h.Tokens
	}
	if h.Layers == nil {
		for l := range m.Layers {
			h.Layers = append(h.Layers, l)
		}
	}
	r := &reader{m: m}
	for _, l := range h.Layers {
		var sinks []float32
		if m.Sinks {
			sinks = r.vector(m.name(l, "self_attn.sinks"), 0, m.QHeads, 0)
		}
		a := m.attention(l, sinks)
		if kind := m.RopeOf[l]; kind >= 0 {
			a.Rope, a.RopeFactor = m.Ropes[kind].traced(h.Tokens)
		}
		h.Attention = append(h.Attention, a)
	}
	return h, r.err
}
