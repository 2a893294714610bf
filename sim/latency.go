package sim

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/perf/benchmath"
	"gonum.org/v1/gonum/stat"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// fullStores are the stores of the unreduced cache as they are before the timed steps. Each cell of the
// trace and length times its samples against them.
type fullStores struct {
	before, work []*cache.Store // [layer]
}

// newFullStores builds and fills them.
func newFullStores(c Cell, r *runner) (*fullStores, error) {
	f := &fullStores{}
	untimed := c.steps() - min(r.plan.Repeats, c.Decode)
	for _, layer := range c.Layers {
		l, err := r.rows.layer(layer, c.SeqLen)
		if err != nil {
			return nil, err
		}
		prompt, _ := views(c, []int{layer}, []*trace.Layer{l})
		s, err := cache.Build(cache.Spec{View: prompt, Before: prompt.Shape(), Decode: c.Decode, Pool: r.pool})
		if err != nil {
			return nil, err
		}
		for i := range untimed {
			tok := step(c, l, i)
			if err := s.Append(layer, tok.pos, tok.k, tok.v); err != nil {
				return nil, err
			}
		}
		f.before, f.work = append(f.before, s), append(f.work, s.Clone())
	}
	return f, nil
}

// time takes the latency of the last steps: one sample a step, over all layers, each beside a sample of
// full so that their ratio survives a noisy machine. The stores are warm: one copy of them, which the
// last-level cache may hold.
func (p *replay) time(ctx context.Context) (*Latency, error) {
	c := p.cell
	n := p.samples()
	tokens := make([][]token, n) // [step][layer]
	for i := range n {
		for _, layer := range c.Layers {
			l, err := p.rows.layer(layer, c.SeqLen)
			if err != nil {
				return nil, err
			}
			tokens[i] = append(tokens[i], step(c, l, c.steps()-n+i))
		}
	}
	full := p.full.work
	for i, s := range full {
		s.CopyFrom(p.full.before[i])
	}
	own := make([]*cache.Store, 0, len(c.Layers)) // [layer] the store that it reads
	for g, group := range c.groups() {
		for range group {
			own = append(own, p.timed[g])
		}
	}
	out := make([]float32, c.Trace.QHeads*c.Trace.HeadDim)
	for _, stores := range [][]*cache.Store{own, full} { // wake the threads, touch the memory
		for i, s := range stores {
			s.Attend(c.Layers[i], tokens[0][i].pos, tokens[0][i].q, out)
		}
	}
	runtime.GC()
	ours, theirs := make([]time.Duration, n), make([]time.Duration, n)
	for i, toks := range tokens {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ours[i] = timeStep(c.Layers, own, toks, out)
		theirs[i] = timeStep(c.Layers, full, toks, out)
	}
	return p.latency(ours, theirs), nil
}

// timeStep decodes one token in all layers.
func timeStep(layers []int, stores []*cache.Store, toks []token, out []float32) time.Duration {
	start := time.Now()
	for i, s := range stores {
		tok := &toks[i]
		// The same append succeeded in the error pass.
		_ = s.Append(layers[i], tok.pos, tok.k, tok.v)
		s.Attend(layers[i], tok.pos, tok.q, out)
		s.Settle(layers[i], tok.pos)
	}
	return time.Since(start)
}

// latency sums up the samples: medians with a distribution-free interval, and the median of the paired
// ratios to full.
func (p *replay) latency(ours, full []time.Duration) *Latency {
	l := &Latency{CompressNS: p.compress.Nanoseconds(), Threads: p.pool.Threads(), Kernel: kernel.Name}
	var ns, ratios []float64
	for i, d := range ours {
		l.StepNS = append(l.StepNS, d.Nanoseconds())
		ns = append(ns, float64(d.Nanoseconds()))
		ratios = append(ratios, float64(d.Nanoseconds())/float64(max(1, full[i].Nanoseconds())))
	}
	l.MeanNS = int64(stat.Mean(ns, nil))
	summary := benchmath.AssumeNothing.Summary(benchmath.NewSample(ns, &benchmath.DefaultThresholds), 0.95)
	l.MedianNS = int64(summary.Center)
	if len(ns) >= 6 {
		lo, hi := int64(summary.Lo), int64(summary.Hi)
		l.LoNS, l.HiNS = &lo, &hi
	}
	l.RatioToFull = benchmath.AssumeNothing.Summary(benchmath.NewSample(ratios, &benchmath.DefaultThresholds), 0.95).Center
	return l
}
