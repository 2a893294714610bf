package sim

import (
	"context"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// rows reads the layers of one trace, and keeps those that it has read where they fit in memory, so that
// the cells of a trace do not read or generate them again.
type rows struct {
	trace  *trace.Trace
	tokens int  // of the longest cell
	hold   bool // keep every layer at this length
	held   map[int]*trace.Layer
}

// Load reads every row that the plan's cells use, so that a trace that is cut short or holds a NaN is
// found before anything is measured or written. Traces are held as long as their rows, in float32, take
// no more than a quarter of the memory allowed together.
func (p *Plan) Load(ctx context.Context) error {
	p.rows = map[*trace.Trace]*rows{}
	left := p.MaxMemory / 4
	for _, t := range p.Traces {
		r := &rows{trace: t, held: map[int]*trace.Layer{}}
		var layers []int
		for _, c := range p.Cells {
			if c.Trace == t && c.Skip == "" {
				r.tokens, layers = max(r.tokens, c.SeqLen), c.Layers
			}
		}
		need := 4 * int64(len(layers)) * int64(r.tokens) * int64(t.HeadDim) * int64(2*t.KVHeads+t.QHeads)
		if r.hold = need <= left; r.hold {
			left -= need
		}
		for _, layer := range layers {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, err := r.layer(layer, r.tokens); err != nil {
				return err
			}
		}
		p.rows[t] = r
	}
	return nil
}

// layer returns the first tokens rows of a layer.
func (r *rows) layer(layer, tokens int) (*trace.Layer, error) {
	if !r.hold {
		return r.trace.Read(layer, tokens)
	}
	l, ok := r.held[layer]
	if !ok {
		var err error
		if l, err = r.trace.Read(layer, r.tokens); err != nil {
			return nil, err
		}
		r.held[layer] = l
	}
	return l.Prefix(tokens, r.trace.HeadDim), nil
}

// views splits the rows of a group of layers at the end of the prompt. The future of a cell without
// decoding is the last prompt query.
func views(c Cell, group []int, layers []*trace.Layer) (prompt, future *cache.View) {
	t, p := c.Trace, c.SeqLen-c.Decode
	rope := kernel.Rope{InvFreq: t.Rope.InvFreq, GPTJ: t.Rope.Style == "gptj"}
	prompt = &cache.View{Layers: group, Dim: t.HeadDim, Scale: t.Scale, Rope: rope, FirstQuery: layers[0].FirstQuery}
	future = &cache.View{Layers: group, Dim: t.HeadDim, Scale: t.Scale, Rope: rope, FirstQuery: c.firstStep()}
	pos := make([]int32, c.SeqLen)
	for i := range pos {
		pos[i] = int32(i)
	}
	for j := range t.KVHeads {
		cut := p * t.HeadDim
		prompt.K, future.K = append(prompt.K, layers[0].K[j][:cut]), append(future.K, layers[0].K[j][cut:])
		prompt.V, future.V = append(prompt.V, layers[0].V[j][:cut]), append(future.V, layers[0].V[j][cut:])
		prompt.Pos, future.Pos = append(prompt.Pos, pos[:p]), append(future.Pos, pos[p:])
	}
	for _, l := range layers {
		var before, after [][]float32
		for h := range t.QHeads {
			before = append(before, l.Q[h][:max(0, p-l.FirstQuery)*t.HeadDim])
			after = append(after, l.Q[h][(c.firstStep()-l.FirstQuery)*t.HeadDim:])
		}
		prompt.Q, future.Q = append(prompt.Q, before), append(future.Q, after)
	}
	return prompt, future
}

// token is the rows of one token as the decode loop hands them to a store.
type token struct {
	pos  int
	k, v [][]float32 // [kv_head][dim]
	q    []float32   // [q_head*dim]
}

// step returns the token of the i-th compared query of a layer.
func step(c Cell, l *trace.Layer, i int) token {
	t := c.Trace
	d, pos := t.HeadDim, c.firstStep()+i
	tok := token{pos: pos, k: make([][]float32, t.KVHeads), v: make([][]float32, t.KVHeads)}
	for j := range t.KVHeads {
		tok.k[j] = l.K[j][pos*d : (pos+1)*d]
		tok.v[j] = l.V[j][pos*d : (pos+1)*d]
	}
	row := pos - l.FirstQuery
	for h := range t.QHeads {
		tok.q = append(tok.q, l.Q[h][row*d:(row+1)*d]...)
	}
	return tok
}
