package sim

import (
	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// views splits the rows of a group of layers at the end of the prompt. The future of a cell without
// decoding is the last prompt query.
func views(c Cell, group []int, layers []*trace.Layer) (prompt, future *cache.View) {
	p := c.prompt()
	return view(c.Trace, group, layers, 0, p, layers[0].FirstQuery, p), view(c.Trace, group, layers, p, c.SeqLen, c.firstStep(), c.SeqLen)
}

// view holds the rows lo to hi of a group of layers, and the queries qlo to qhi. Layers that borrow the rows of the first have
// rules alone: nothing is decided by their queries.
func view(t *trace.Header, group []int, layers []*trace.Layer, lo, hi, qlo, qhi int) *cache.View {
	a := t.At(group[0])
	d, dv := a.QKDim, a.VDim
	v := &cache.View{
		Layers: group, Dim: d, VDim: dv, FirstQuery: qlo,
		Rope: kernel.Rope{InvFreq: a.Rope.InvFreq, GPTJ: a.Rope.Style == "gptj"},
	}
	pos := make([]int32, hi-lo)
	for i := range pos {
		pos[i] = int32(lo + i)
	}
	for i, l := range layers {
		v.Rules = append(v.Rules, rules(t.At(group[i])))
		if t.At(group[i]).Borrows {
			v.Readers++
			continue
		}
		var k, val, q [][]float32
		for j := range a.KVHeads {
			k, val = append(k, l.K[j][lo*d:hi*d]), append(val, l.V[j][lo*dv:hi*dv])
		}
		first := l.FirstQuery
		for h := range a.QHeads {
			q = append(q, l.Q[h][(qlo-first)*d:max(qlo, qhi)*d-first*d])
		}
		v.Q = append(v.Q, q)
		if i > 0 {
			v.Peers = append(v.Peers, cache.Peer{K: k, V: val})
			continue
		}
		v.K, v.V = k, val
		for range k {
			v.Pos = append(v.Pos, pos)
		}
	}
	return v
}

// rules are those of the query heads of a layer.
func rules(a *trace.Attention) []kernel.Rule {
	rules := make([]kernel.Rule, a.QHeads)
	for h := range rules {
		rules[h] = a.Rule(h)
	}
	return rules
}

// token is the rows of one token as the decode loop hands them to a store.
type token struct {
	pos  int
	k, v [][]float32 // [kv_head][dim]
	q    []float32   // [q_head*dim]
}

// step returns the token of the i-th compared query of a layer.
func step(c Cell, layer int, l *trace.Layer, i int) token {
	a := c.Trace.At(layer)
	d, pos := a.QKDim, c.firstStep()+i
	tok := token{pos: pos, k: make([][]float32, a.KVHeads), v: make([][]float32, a.KVHeads)}
	for j := range a.KVHeads {
		tok.k[j] = l.K[j][pos*d : (pos+1)*d]
		tok.v[j] = l.V[j][pos*a.VDim : (pos+1)*a.VDim]
	}
	row := pos - l.FirstQuery
	for h := range a.QHeads {
		tok.q = append(tok.q, l.Q[h][row*d:(row+1)*d]...)
	}
	return tok
}
