package sim

import (
	"fmt"
	"math"
	"slices"

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
