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
	name func(p *proof, a *trace.Attention) string
}

// fits are tried in this order.
var fits = []fit{
	{(*proof).fitScale, func(_ *proof, a *trace.Attention) string { return fmt.Sprintf("scale=%.4g", a.Scale) }},
	{(*proof).fitWindow, func(_ *proof, a *trace.Attention) string { return fmt.Sprintf("window=%d", a.Window) }},
	{(*proof).fitChunk, func(p *proof, a *trace.Attention) string {
		return fmt.Sprintf("chunk=%d (or another by which one begins at token %d)", a.Chunk, (p.first+p.n-1)/a.Chunk*a.Chunk)
	}},
	{(*proof).fitSoftcap, func(_ *proof, a *trace.Attention) string { return fmt.Sprintf("softcap=%.4g", a.Softcap) }},
	{(*proof).fitSinks, func(*proof, *trace.Attention) string { return "sinks (a tensor layers.N.sinks)" }},
	{(*proof).fitSlopes, func(_ *proof, a *trace.Attention) string {
		return fmt.Sprintf("slopes from %.3g to %.3g (a tensor layers.N.alibi)", slices.Max(a.ALiBi), slices.Min(a.ALiBi))
	}},
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
			named = append(named, f.name(p, &a))
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
				named = append(named, fits[best].name(p, &first)+" and "+f.name(p, &a))
			}
		}
	}
	if named == nil {
		return "neither transposed axes, nor another order of heads, another scale, a window, a chunk, a soft cap, sinks or ALiBi slopes explain it", nil
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
	if order := p.reordered(); order != "" {
		named = append(named, order)
	}
	if p.attention.Latent() && p.error(&p.attention, rotatedFirst(p.layer, &p.attention)) <= doubtfulOutputs {
		named = append(named, "q with the channels first that read k_rope, want those without rotation first")
	}
	return named, nil
}

// reordered names another order of heads in which the outputs are what attention gives; "" where there is none.
func (p *proof) reordered() string {
	a := &p.attention
	cyclic, backwards := make([]int, a.QHeads), make([]int, a.QHeads)
	for h := range a.QHeads {
		cyclic[h], backwards[h] = h%a.KVHeads, a.KVHeads-1-h/(a.QHeads/a.KVHeads)
	}
	switch order := p.kvHeads(p.layer); {
	case order == nil:
	case slices.Equal(order, cyclic):
		return "KV heads repeated in another order: query head h reads KV head h mod KV heads"
	case slices.Equal(order, backwards):
		return "KV heads in reverse order in k and v"
	default:
		return fmt.Sprintf("KV heads in another order: query heads read KV heads %s", strings.Trim(fmt.Sprint(order), "[]"))
	}
	turned := *p.layer
	turned.Q = slices.Clone(turned.Q)
	slices.Reverse(turned.Q)
	switch order := p.kvHeads(&turned); {
	case order == nil:
	case slices.Equal(order, backwards) && a.KVHeads > 1:
		return "heads in reverse order in the outputs"
	case slices.Equal(order, backwards): // one KV head: nothing tells
		return "heads in reverse order in q or in the outputs"
	case slices.IsSorted(order):
		return "heads in reverse order in q"
	}
	return ""
}

// kvHeads are the KV heads with which each query head's outputs are what attention gives; nil where some have none.
func (p *proof) kvHeads(l *trace.Layer) []int {
	a := p.attention
	order, least := make([]int, a.QHeads), slices.Repeat([]float64{math.Inf(1)}, a.QHeads)
	var norms []float64
	for j := range a.KVHeads {
		one := *l
		one.K, one.V = slices.Repeat(l.K[j:j+1], a.KVHeads), slices.Repeat(l.V[j:j+1], a.KVHeads)
		var diffs []float64
		diffs, norms = p.errors(&a, &one)
		for h, d := range diffs {
			if d < least[h] {
				order[h], least[h] = j, d
			}
		}
	}
	for h, d := range least {
		if ratio(d, norms[h]) > doubtfulOutputs {
			return nil
		}
	}
	return order
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

// fitSlopes finds each head's slope, as nearest does, of all heads at once.
func (p *proof) fitSlopes(a *trace.Attention) {
	const lo, hi, grid, thirds = -16, 2, 36, 30 // powers of two
	of := func(exponents []float64) []float64 {
		b := *a
		b.ALiBi = make([]float64, a.QHeads)
		for h, x := range exponents {
			b.ALiBi[h] = math.Exp2(x)
		}
		diffs, _ := p.errors(&b, p.layer)
		return diffs
	}
	step := float64(hi-lo) / grid
	best, least := make([]float64, a.QHeads), slices.Repeat([]float64{math.Inf(1)}, a.QHeads)
	for i := range grid + 1 {
		x := lo + float64(i)*step
		for h, d := range of(slices.Repeat([]float64{x}, a.QHeads)) {
			if d < least[h] {
				best[h], least[h] = x, d
			}
		}
	}
	from, to := make([]float64, a.QHeads), make([]float64, a.QHeads)
	for h, x := range best {
		from[h], to[h] = x-step, x+step
	}
	left, right := make([]float64, a.QHeads), make([]float64, a.QHeads)
	for range thirds {
		for h := range best {
			left[h], right[h] = from[h]+(to[h]-from[h])/3, to[h]-(to[h]-from[h])/3
		}
		dl, dr := of(left), of(right)
		for h := range best {
			if dl[h] < dr[h] {
				to[h] = right[h]
			} else {
				from[h] = left[h]
			}
		}
	}
	a.ALiBi = make([]float64, a.QHeads)
	for h := range best {
		a.ALiBi[h] = math.Exp2((from[h] + to[h]) / 2)
	}
}

// fitWindow finds the window that comes nearest.
func (p *proof) fitWindow(a *trace.Attention) {
	a.Window = 0
	errs := p.errorsFrom(a)
	of := make([]float64, p.first+p.n) // by window - 1
	for s, from := range errs {
		for w := range of {
			of[w] += from[max(0, p.first+s-w)]
		}
	}
	a.Window = 1 + slices.Index(of, slices.Min(of))
}

// fitChunk finds the chunk that comes nearest.
func (p *proof) fitChunk(a *trace.Attention) {
	a.Chunk = 0
	errs := p.errorsFrom(a)
	of := make([]float64, p.first+p.n) // by chunk - 1
	for s, from := range errs {
		for c := range of {
			of[c] += from[(p.first+s)/(c+1)*(c+1)]
		}
	}
	for c, e := range of {
		if e <= of[max(0, a.Chunk-1)] { // the longest of those that are the same to these queries
			a.Chunk = c + 1
		}
	}
}

// errorsFrom are the errors of each query that reads the keys from a token on, [query][token]: their outputs are sums from the
// query's own key backwards.
func (p *proof) errorsFrom(a *trace.Attention) [][]float64 {
	last := p.first + p.n
	errs := make([][]float64, p.n)
	for s := range errs {
		errs[s] = make([]float64, last)
	}
	for h := range a.QHeads {
		j, rule, values := h/(a.QHeads/a.KVHeads), a.Rule(h), p.values(a, h, last)
		p.pool.Run(p.n, func(_, s int) {
			token := p.first + s
			q := p.layer.Reading(a, h, token, 1)
			logits, lse := kernel.LogitsExact(q, a.KeyDim(), rule, p.layer.K[j][:(token+1)*a.KeyDim()], nil, kernel.Sights(token, 1))
			sum, want := make([]float64, a.VDim), p.outputs[h][s*a.VDim:(s+1)*a.VDim]
			total := 0.0
			if rule.HasSink {
				total = math.Exp(rule.Sink - lse[0])
			}
			for i := token; i >= 0; i-- {
				x := math.Exp(logits[i] - lse[0])
				total += x
				d := 0.0
				for c, v := range values[i*a.VDim : (i+1)*a.VDim] {
					sum[c] += x * v
					d += (sum[c]/total - want[c]) * (sum[c]/total - want[c])
				}
				errs[s][i] += d
			}
		})
	}
	return errs
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
