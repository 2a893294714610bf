package stats

import (
	"context"
	"math"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// queryBatch is how many queries share one pass over a head's keys, and one part of the pool's work.
const queryBatch = 16

// attentionSums are the attention figures of one batch of queries, over all heads.
type attentionSums struct {
	sink, sink4, entropy, heavy, local, query mean
}

// measureAttention fills in the figures of the attention of the queries of the given tokens and returns
// it, [query][token], averaged over the query heads.
func measureAttention(ctx context.Context, t *trace.Attention, l *trace.Layer, queries []int, pool *kernel.Pool, f *Figures) [][]float64 {
	rows := make([][]float64, len(queries))
	parts := make([]attentionSums, (len(queries)+queryBatch-1)/queryBatch)
	pool.Run(len(parts), func(_, b int) {
		lo, hi := b*queryBatch, min((b+1)*queryBatch, len(queries))
		for h := 0; h < t.QHeads && ctx.Err() == nil; h++ {
			parts[b].addHead(t, l, h, queries[lo:hi], rows[lo:hi])
		}
	})
	var all attentionSums
	for _, p := range parts { // in this order, whatever thread was first
		all.sink.join(p.sink)
		all.sink4.join(p.sink4)
		all.entropy.join(p.entropy)
		all.heavy.join(p.heavy)
		all.local.join(p.local)
		all.query.join(p.query)
	}
	f.SinkMass, f.Sink4Mass = all.sink.value(), all.sink4.value()
	f.EntropyBits, f.HeavyMass = all.entropy.value(), all.heavy.value()
	f.LocalMass, f.QueryCosine = all.local.value(), all.query.value()
	return rows
}

// addHead adds one query head's attention to the sums, and its share to the rows [query][token].
func (a *attentionSums) addHead(t *trace.Attention, l *trace.Layer, h int, queries []int, rows [][]float64) {
	d := t.QKDim
	last := queries[len(queries)-1]
	q, sees := make([]float64, 0, len(queries)*t.KeyDim()), make([]kernel.Sight, len(queries))
	for i, token := range queries {
		q, sees[i] = append(q, l.Reading(t, h, token, 1)...), kernel.Sight{Token: token, Rows: token + 1}
		if token > l.FirstQuery {
			a.query.add(cosine(query(l, h, token, d), query(l, h, token-1, d)))
		}
	}
	rule := t.Rule(h)
	logits, lse := kernel.LogitsExact(q, t.KeyDim(), rule, l.K[h/(t.QHeads/t.KVHeads)][:(last+1)*t.KeyDim()], nil, sees)
	for i := range sees {
		n := sees[i].Rows
		p := logits[i*(last+1) : i*(last+1)+n]
		var entropy float64
		for j, x := range p { // minus infinity where the query does not read the key
			p[j] = math.Exp(x - lse[i])
			if p[j] > 0 {
				entropy -= p[j] * (x - lse[i])
			}
		}
		if rule.HasSink {
			entropy -= math.Exp(rule.Sink-lse[i]) * (rule.Sink - lse[i])
		}
		a.sink.add(p[0], true)
		a.sink4.add(sum(p[:min(4, n)]), true)
		a.entropy.add(entropy/math.Ln2, true)
		a.heavy.add(heaviest(p, heavyKeys), true)
		a.local.add(sum(p[max(0, n-localKeys):]), true)
		if rows[i] == nil {
			rows[i] = make([]float64, n)
		}
		for j := range p {
			rows[i][j] += p[j] / float64(t.QHeads)
		}
	}
}

// measureNeedles fills in what the asking queries, or as many of them as the options sample, put on
// their needles: the mean over needles and over the query heads that read the needle's KV head.
func measureNeedles(ctx context.Context, t *trace.Header, l *trace.Layer, layer int, o Options, pool *kernel.Pool, f *Figures) {
	var asked []trace.Needle
	for _, n := range t.Needles {
		if n.Layer == layer && n.Query < o.Tokens {
			f.Needles++
			if n.Query >= l.FirstQuery {
				asked = append(asked, n)
			}
		}
	}
	a := t.At(layer)
	count, group, d := min(o.Queries, len(asked)), a.QHeads/a.KVHeads, a.KeyDim()
	masses := make([]mean, count)
	pool.Run(count, func(_, i int) {
		n := asked[i*len(asked)/count]
		for h := n.KVHead * group; h < (n.KVHead+1)*group && ctx.Err() == nil; h++ {
			logits, lse := kernel.LogitsExact(l.Reading(a, h, n.Query, 1), d, a.Rule(h), l.K[n.KVHead][:(n.Query+1)*d], nil, kernel.Sights(n.Query, 1))
			masses[i].add(math.Exp(logits[n.Key]-lse[0]), true)
		}
	})
	var m mean
	for _, x := range masses {
		m.join(x)
	}
	f.NeedleMass = m.value()
}

// query is the row of one token's query.
func query(l *trace.Layer, h, token, dim int) []float32 {
	return l.Q[h][(token-l.FirstQuery)*dim : (token-l.FirstQuery+1)*dim]
}

// heaviest is the sum of the n largest values.
func heaviest(p []float64, n int) float64 {
	var top []float64 // descending
	for _, x := range p {
		if len(top) == n && x <= top[n-1] {
			continue
		}
		if len(top) < n {
			top = append(top, x)
		}
		i := len(top) - 1
		for ; i > 0 && top[i-1] < x; i-- {
			top[i] = top[i-1]
		}
		top[i] = x
	}
	return sum(top)
}
