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

// view holds the rows lo to hi of a group of layers, and the queries qlo to qhi.
func view(t *trace.Header, group []int, layers []*trace.Layer, lo, hi, qlo, qhi int) *cache.View {
	d := t.HeadDim
	v := &cache.View{
		Layers: group, Dim: d, VDim: d, Scale: t.Scale, FirstQuery: qlo,
		Rope: kernel.Rope{InvFreq: t.Rope.InvFreq, GPTJ: t.Rope.Style == "gptj"},
	}
	pos := make([]int32, hi-lo)
	for i := range pos {
		pos[i] = int32(lo + i)
	}
	for i, l := range layers {
		var k, val, q [][]float32
		for j := range t.KVHeads {
			k, val = append(k, l.K[j][lo*d:hi*d]), append(val, l.V[j][lo*d:hi*d])
		}
		first := l.FirstQuery
		for h := range t.QHeads {
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
