package sim

import (
	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// promptView is the rows of a group of layers up to the end of the prompt, with the queries of token first and later.
func promptView(c Cell, group []int, layers []*trace.Layer, first int, pool *kernel.Pool) *cache.View {
	return view(c.Trace, group, layers, 0, c.prompt(), first, c.prompt(), pool)
}

// futureView is those after the prompt. That of a cell without decoding is the last prompt query.
func futureView(c Cell, group []int, layers []*trace.Layer, pool *kernel.Pool) *cache.View {
	return view(c.Trace, group, layers, c.prompt(), c.SeqLen, c.firstStep(), c.SeqLen, pool)
}

// view holds the rows lo to hi of a group of layers, and the queries qlo to qhi as they read them. Layers that borrow the rows
// of the first have rules alone: nothing is decided by their queries.
func view(t *trace.Header, group []int, layers []*trace.Layer, lo, hi, qlo, qhi int, pool *kernel.Pool) *cache.View {
	a := t.At(group[0])
	d, dv := a.KeyDim(), a.ValueDim()
	v := &cache.View{Layers: group, Dim: d, VDim: dv, Latent: a.Latent(), FirstQuery: qlo, Rope: a.KernelRope()}
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
		if a.Latent() {
			q = absorbed(a, l, qlo, max(qlo, qhi), pool)
		} else {
			first := l.FirstQuery
			for h := range a.QHeads {
				q = append(q, l.Q[h][(qlo-first)*d:max(qlo, qhi)*d-first*d])
			}
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

// absorbed are the queries lo to hi of a latent layer as they read its rows, [q_head][queries*KeyDim].
func absorbed(a *trace.Attention, l *trace.Layer, lo, hi int, pool *kernel.Pool) [][]float32 {
	all, n, nope, width := make([][]float32, a.QHeads), hi-lo, a.Nope(), a.KeyDim()
	pool.Run(len(all), func(_, h int) {
		all[h] = make([]float32, n*width)
		if n == 0 {
			return
		}
		q, part := l.Q[h][(lo-l.FirstQuery)*a.QKDim:], make([]float32, 0, n*nope)
		for i := range n {
			part = append(part, q[i*a.QKDim:][:nope]...)
			copy(all[h][i*width+a.Rank:(i+1)*width], q[i*a.QKDim+nope:])
		}
		up := &l.Up.K[h]
		for at := 0; at < n; at += absorbBatch {
			m := min(absorbBatch, n-at)
			kernel.Scores(part[at*nope:(at+m)*nope], up, 0, up.Len(), kernel.NewScratch(m, nope), all[h][at*width:], width)
		}
	})
	return all
}

// absorbBatch is how many queries read the weights of a head at a time.
const absorbBatch = 64

// up is the fold that queries and outputs of a latent layer go through; nil of another layer.
func up(a *trace.Attention, l *trace.Layer) []cache.Decision {
	if !a.Latent() {
		return nil
	}
	return []cache.Decision{{Map: cache.Up{Key: l.Up.K, Value: l.Up.V, Shared: a.SharedDim}}}
}

// arriving is the shape of a token's rows before any map, and of its queries and outputs.
func arriving(a *trace.Attention) cache.Shape {
	return cache.Shape{Heads: a.KVHeads, K: a.QKDim, V: a.VDim}
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
	d, dv, pos := a.KeyDim(), a.ValueDim(), c.firstStep()+i
	tok := token{pos: pos, k: make([][]float32, a.KVHeads), v: make([][]float32, a.KVHeads)}
	for j := range a.KVHeads {
		tok.k[j] = l.K[j][pos*d : (pos+1)*d]
		tok.v[j] = l.V[j][pos*dv : (pos+1)*dv]
	}
	row := pos - l.FirstQuery
	for h := range a.QHeads {
		tok.q = append(tok.q, l.Q[h][row*a.QKDim:(row+1)*a.QKDim]...)
	}
	return tok
}
