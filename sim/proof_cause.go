package sim

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// fit is a mistake in what a trace says of its attention: mend changes it to what comes nearest to the outputs.
type fit struct {
	mend func(p *proof, a *trace.Attention)
	name func(a *trace.Attention) string
}

// fits are tried in this order.
var fits = []fit{
	{(*proof).fitScale, func(a *trace.Attention) string { return fmt.Sprintf("scale=%.4g", a.Scale) }},
	{(*proof).fitWindow, func(a *trace.Attention) string { return fmt.Sprintf("window=%d", a.Window) }},
	{(*proof).fitSoftcap, func(a *trace.Attention) string { return fmt.Sprintf("softcap=%.4g", a.Softcap) }},
	{(*proof).fitSinks, func(*trace.Attention) string { return "sinks (a tensor layers.N.sinks)" }},
}

// cause says what would explain the difference, of the usual mistakes: each is tried, and named where attention without it
// is what the outputs are; where none is alone, the best of what can be fitted with each of the others.
func (p *proof) cause(t *trace.Trace, layer int) (string, error) {
	p.lessen(causeQueries)
	named, err := p.misplaced(t, layer)
	if err != nil {
		return "", err
	}
	best, least := -1, math.Inf(1)
	for i, f := range fits {
		a := p.attention
		f.mend(p, &a)
		switch e := p.error(&a, p.layer); {
		case e <= doubtfulOutputs:
			named = append(named, f.name(&a))
		case e < least:
			best, least = i, e
		}
	}
	if named == nil && best >= 0 {
		first := p.attention
		fits[best].mend(p, &first)
		for i, f := range fits {
			a := first
			if f.mend(p, &a); i != best && p.error(&a, p.layer) <= doubtfulOutputs {
				named = append(named, fits[best].name(&first)+" and "+f.name(&a))
			}
		}
	}
	if named == nil {
		return "neither transposed axes, nor repeated KV heads, another scale, a window, a soft cap or sinks explain it", nil
	}
	return "it is what they are with " + strings.Join(named, ", or with "), nil
}

// lessen keeps the last n queries.
func (p *proof) lessen(n int) {
	if p.n <= n {
		return
	}
	for h, o := range p.outputs {
		p.outputs[h] = o[(p.n-n)*p.attention.VDim:]
	}
	p.first, p.n = p.first+p.n-n, n
}

// misplaced names the orders of rows in which the outputs are what attention gives: axes that are transposed, in what the
// tensors hold or in their shapes too, and query heads that read other KV heads.
func (p *proof) misplaced(t *trace.Trace, layer int) (named []string, err error) {
	if p.first+p.n == t.Tokens {
		whole, err := t.Read(layer, t.Tokens, 0)
		if err != nil {
			return nil, err
		}
		if p.error(&p.attention, scrambled(whole, &p.attention)) <= doubtfulOutputs {
			what := "q, k and v lie"
			if p.attention.Latent() {
				what = "q lies"
			}
			named = append(named, "axes transposed: "+what+" heads first, as views are written (numpy.ascontiguousarray)")
		}
		if s, err := p.swapped(t, layer, whole); err != nil {
			return nil, err
		} else if s != nil && s.error(&s.attention, s.layer) <= doubtfulOutputs {
			named = append(named, "axes transposed: heads stand where tokens should, want [tokens, heads, channels]")
		}
	}
	a, l := p.attention, *p.layer
	l.K, l.V, a.KVHeads = nil, nil, a.QHeads
	for h := range a.QHeads {
		l.K, l.V = append(l.K, p.layer.K[h%p.attention.KVHeads]), append(l.V, p.layer.V[h%p.attention.KVHeads])
	}
	if p.error(&a, &l) <= doubtfulOutputs {
		named = append(named, "KV heads repeated in another order: query head h reads KV head h mod KV heads")
	}
	if p.attention.Latent() && p.error(&p.attention, rotatedFirst(p.layer, &p.attention)) <= doubtfulOutputs {
		named = append(named, "q with the channels first that read k_rope, want those without rotation first")
	}
	return named, nil
}

// rotatedFirst is a latent layer whose queries hold the channels first that read the shared keys, put right.
func rotatedFirst(l *trace.Layer, a *trace.Attention) *trace.Layer {
	turned := *l
	turned.Q = nil
	for _, rows := range l.Q {
		q := make([]float32, 0, len(rows))
		for row := range slices.Chunk(rows, a.QKDim) {
			q = append(append(q, row[a.SharedDim:]...), row[:a.SharedDim]...)
		}
		turned.Q = append(turned.Q, q)
	}
	return &turned
}

// scrambled is a layer whose tensors hold [heads, tokens, channels] though their shapes say [tokens, heads, channels].
func scrambled(l *trace.Layer, a *trace.Attention) *trace.Layer {
	turned := func(heads [][]float32, dim int) [][]float32 {
		rows := len(heads[0]) / dim
		out := make([][]float32, len(heads))
		for h := range out {
			for i := range rows {
				at := h*rows + i // of the tensor's rows
				out[h] = append(out[h], heads[at%len(heads)][at/len(heads)*dim:][:dim]...)
			}
		}
		return out
	}
	return &trace.Layer{K: turned(l.K, a.KeyDim()), V: turned(l.V, a.ValueDim()), Q: turned(l.Q, a.QKDim), FirstQuery: l.FirstQuery, Up: l.Up}
}

// swapped is the proof of a layer whose heads and tokens have changed places, in shapes too; nil where counts rule it out.
func (p *proof) swapped(t *trace.Trace, layer int, whole *trace.Layer) (*proof, error) {
	a := p.attention
	if a.Latent() || a.QHeads != a.KVHeads || t.Queries != t.Tokens || t.Tokens >= a.QHeads {
		return nil, nil
	}
	all, err := t.Outputs(layer, 0, t.Tokens)
	if err != nil {
		return nil, err
	}
	turned := func(heads [][]float32, dim int) [][]float32 {
		out := make([][]float32, t.Tokens)
		for h := range out {
			for _, rows := range heads {
				out[h] = append(out[h], rows[h*dim:(h+1)*dim]...)
			}
		}
		return out
	}
	s := &proof{
		attention: a, first: 0, n: a.QHeads, pool: p.pool, outputs: widened(turned(all, a.VDim)),
		layer: &trace.Layer{K: turned(whole.K, a.QKDim), V: turned(whole.V, a.VDim), Q: turned(whole.Q, a.QKDim)},
	}
	s.attention.QHeads, s.attention.KVHeads = t.Tokens, t.Tokens
	s.lessen(causeQueries)
	return s, nil
}

// fitScale finds the scale that comes nearest.
func (p *proof) fitScale(a *trace.Attention) {
	a.Scale = p.nearest(a.Scale/64, a.Scale*64, func(x float64) trace.Attention { b := *a; b.Scale = x; return b })
}

// fitSoftcap finds the soft cap that comes nearest.
func (p *proof) fitSoftcap(a *trace.Attention) {
	a.Softcap = p.nearest(0.5, 500, func(x float64) trace.Attention { b := *a; b.Softcap = x; return b })
}

// nearest finds the number within bounds that makes attention come nearest to the outputs: on a grid of even ratios, and
// around its best by thirds.
func (p *proof) nearest(lo, hi float64, with func(float64) trace.Attention) float64 {
	const grid, thirds = 24, 30
	of := func(x float64) float64 { a := with(math.Exp(x)); return p.error(&a, p.layer) }
	step := math.Log(hi/lo) / grid
	best, least := 0, math.Inf(1)
	for i := range grid + 1 {
		if e := of(math.Log(lo) + float64(i)*step); e < least {
			best, least = i, e
		}
	}
	from, to := math.Log(lo)+float64(best-1)*step, math.Log(lo)+float64(best+1)*step
	for range thirds {
		a, b := from+(to-from)/3, to-(to-from)/3
		if of(a) < of(b) {
			to = b
		} else {
			from = a
		}
	}
	return math.Exp((from + to) / 2)
}

// fitWindow finds the window that comes nearest: the outputs of all windows are sums from the query's own key backwards.
func (p *proof) fitWindow(a *trace.Attention) {
	last := p.first + p.n
	errs := make([][]float64, a.QHeads) // [query head][window - 1]
	p.pool.Run(a.QHeads, func(_, h int) {
		errs[h] = make([]float64, last)
		j := h / (a.QHeads / a.KVHeads)
		rule := a.Rule(h)
		rule.Window = 0
		q := p.layer.Reading(a, h, p.first, p.n)
		logits, lse := kernel.LogitsExact(q, a.KeyDim(), rule, p.layer.K[j][:last*a.KeyDim()], nil, kernel.Sights(p.first, p.n))
		values := p.values(a, h, last)
		sum, want := make([]float64, a.VDim), p.outputs[h]
		for s := range p.n {
			token := p.first + s
			clear(sum)
			total := 0.0
			if rule.HasSink {
				total = math.Exp(rule.Sink - lse[s])
			}
			for i := token; i >= 0; i-- {
				x := math.Exp(logits[s*last+i] - lse[s])
				total += x
				d := 0.0
				for c, v := range values[i*a.VDim : (i+1)*a.VDim] {
					sum[c] += x * v
					d += (sum[c]/total - want[s*a.VDim+c]) * (sum[c]/total - want[s*a.VDim+c])
				}
				errs[h][token-i] += d
			}
			for w := token + 1; w < last; w++ { // beyond its first key a query reads the same
				errs[h][w] += errOf(sum, total, want[s*a.VDim:(s+1)*a.VDim])
			}
		}
	})
	all := errs[0]
	for _, e := range errs[1:] {
		for w, x := range e {
			all[w] += x
		}
	}
	a.Window = 1 + slices.Index(all, slices.Min(all))
}

// values are those that a head reads of the first n tokens, [n*VDim].
func (p *proof) values(a *trace.Attention, head, n int) []float64 {
	cached := p.layer.V[head/(a.QHeads/a.KVHeads)][:n*a.ValueDim()]
	wide := make([]float64, len(cached))
	for i, x := range cached {
		wide[i] = float64(x)
	}
	return p.layer.Output(a, head, wide)
}

// errOf is the square of the distance of sum/total from want.
func errOf(sum []float64, total float64, want []float64) (d float64) {
	for c, x := range sum {
		d += (x/total - want[c]) * (x/total - want[c])
	}
	return d
}

// fitSinks finds each head's sink: it makes outputs shorter by exp(lse) / (exp(lse) + exp(sink)).
func (p *proof) fitSinks(a *trace.Attention) {
	sinks := make([]float64, a.QHeads)
	p.pool.Run(a.QHeads, func(_, h int) {
		j, last := h/(a.QHeads/a.KVHeads), p.first+p.n
		q := p.layer.Reading(a, h, p.first, p.n)
		logits, lse := kernel.LogitsExact(q, a.KeyDim(), a.Rule(h).WithoutSink(), p.layer.K[j][:last*a.KeyDim()], nil, kernel.Sights(p.first, p.n))
		out := p.layer.Output(a, h, kernel.WeightedSumExact(logits, lse, a.ValueDim(), p.layer.V[j][:last*a.ValueDim()]))
		var seen []float64
		for s := range p.n {
			var dot, norm float64
			for c := range a.VDim {
				x := out[s*a.VDim+c]
				dot, norm = dot+x*p.outputs[h][s*a.VDim+c], norm+x*x
			}
			if share := dot / norm; share > 0 && share < 1 {
				seen = append(seen, lse[s]+math.Log(1/share-1))
			}
		}
		sinks[h] = math.Inf(-1)
		if len(seen) > 0 {
			slices.Sort(seen)
			sinks[h] = seen[len(seen)/2]
		}
	})
	a.Sinks = sinks
}
