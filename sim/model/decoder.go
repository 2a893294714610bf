package model

import (
	"context"
	"fmt"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
)

// Decoder takes one token at a time through all layers. It holds their weights, as they are stored, but for experts, which are
// read as tokens choose them.
type Decoder struct {
	p      Prefill // of one token
	layers []*layer
	head   *head
	inv    [][]float32 // [of Ropes] radians per position
	factor []float64
	q, o   []float32 // [query heads*head_dim]
}

// NewDecoder reads the weights. length is how long the text will be, prompt included, which some rotary embeddings depend on.
func (m *Model) NewDecoder(length int, pool *kernel.Pool) (*Decoder, error) {
	width := m.QHeads * m.HeadDim
	d := &Decoder{q: make([]float32, 0, width), o: make([]float32, width)}
	d.p = Prefill{m: m, pool: pool, linear: kernel.NewLinear(pool), reader: &reader{m: m}, tokens: 1, x: make([]float32, m.Hidden), step: func() {}}
	d.p.reserve()
	for l := range m.Layers {
		w, err := (&reader{m: m}).layer(l)
		if err != nil {
			return nil, err
		}
		d.layers = append(d.layers, w)
	}
	for i := range m.Ropes {
		inv, factor := m.Ropes[i].Frequencies(length)
		d.inv, d.factor = append(d.inv, inv), append(d.factor, factor)
		d.p.angles = append(d.p.angles, m.Ropes[i].angles(inv, factor, 0, 1))
	}
	var err error
	d.head, err = (&reader{m: m}).head()
	return d, err
}

// Rules are those of the query heads of a layer.
func (d *Decoder) Rules(layer int) []kernel.Rule {
	a := d.p.m.attention(layer, d.layers[layer].sinks)
	rules := make([]kernel.Rule, a.QHeads)
	for h := range rules {
		rules[h] = a.Rule(h)
	}
	return rules
}

// Step takes the token at a position through the model: each layer appends its row to its store and attends over what that
// holds then. logits, [vocabulary], is set to those of the token that follows; nil: nobody asks. It fails with
// cache.ErrRange where a format of a store cannot hold a row.
func (d *Decoder) Step(ctx context.Context, id int32, pos int, stores []*cache.Store, logits []float32) error {
	p, m := &d.p, d.p.m
	if id < 0 || int(id) >= m.Vocabulary {
		return record.Input(fmt.Errorf("model %s: token %d: id %d, want 0 to %d", m.Name, pos, id, m.Vocabulary-1))
	}
	p.reader.again()
	m.embed(p.reader, id, p.x)
	for i, table := range p.angles {
		table.set(0, d.inv[i], d.factor[i], pos)
	}
	for l, w := range d.layers {
		p.next = l
		p.project(w, 0, 1)
		if err := stores[l].Append(l, pos, p.rows.K, p.rows.V); err != nil {
			return err
		}
		d.q = d.q[:0]
		for _, q := range p.rows.Q {
			d.q = append(d.q, q...)
		}
		stores[l].Attend(l, pos, d.q, d.o)
		stores[l].EndStep(l, pos)
		for h := range p.rows.O {
			copy(p.rows.O[h], d.o[h*m.HeadDim:])
		}
		p.putOut(w, 0, 1)
		if err := p.mlp(ctx, w, 0, 1, 0); err != nil {
			return err
		}
	}
	if logits != nil {
		p.logits(d.head, 0, 1, logits)
	}
	return p.reader.err
}
