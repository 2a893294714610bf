package sim

import (
	"context"
	"runtime"
	"slices"
	"time"

	"golang.org/x/perf/benchmath"
	"gonum.org/v1/gonum/stat"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

const (
	// Copies of the stores of a pipeline, and as many bytes of those of full, which alternate with them, fill
	// so many last-level caches each, together twice as many, and no more than so many bytes each.
	coldCaches = 2
	mostCopies = 1 << 29
	// overhead is the step below which waking threads and the work around attention decide its time.
	overhead = 50 * time.Microsecond
)

// copies are the stores of all layers many times over, so that each step finds its rows in memory and not in
// the last-level cache, as real decoding does. They advance in lockstep.
type copies struct {
	layers [][]*cache.Store // [copy][layer] the store that the layer reads
	cold   bool             // together they are several times the last-level cache
}

// newCopies copies the stores of the groups of layers until there are enough bytes.
func newCopies(groups [][]int, stores []*cache.Store) *copies {
	var bytes int64
	for _, s := range stores {
		bytes += s.Bytes()
	}
	n := copyCount(bytes)
	cs := &copies{cold: int64(n)*bytes >= coldCaches*llc()}
	for i := range n {
		var layers []*cache.Store
		for g, group := range groups {
			s := stores[g]
			if i > 0 {
				s = s.Twin()
			}
			layers = append(layers, slices.Repeat([]*cache.Store{s}, len(group))...)
		}
		cs.layers = append(cs.layers, layers)
	}
	return cs
}

// copyCount is how many copies of so many bytes are made.
func copyCount(bytes int64) int {
	bytes = max(1, bytes)
	return int(max(1, min((coldCaches*llc()+bytes-1)/bytes, mostCopies/bytes)))
}

// MeasureLimits takes half a second to measure what the machine can do. A plan whose cells are timed needs it
// before it runs, to say what their steps are bound by.
func (p *Plan) MeasureLimits() {
	pool := kernel.NewPool(p.Threads)
	defer pool.Close()
	limits := kernel.MeasureLimits(pool)
	p.Limits = &limits
}

// step decodes one token in all layers of every copy and returns the mean time of a copy.
func (cs *copies) step(layers []int, toks []token, out []float32) time.Duration {
	start := time.Now()
	for _, stores := range cs.layers {
		for i, s := range stores {
			tok := &toks[i]
			// The same append succeeded in the error pass.
			_ = s.Append(layers[i], tok.pos, tok.k, tok.v)
			s.Attend(layers[i], tok.pos, tok.q, out)
			s.Settle(layers[i], tok.pos)
		}
	}
	return time.Since(start) / time.Duration(len(cs.layers))
}

// newFullStores makes the copies of the unreduced cache as it is before the timed steps. Each cell of the
// trace and length times its samples against them.
func newFullStores(c Cell, r *runner) (*copies, error) {
	untimed := c.steps() - min(r.plan.Repeats, c.Decode)
	var stores []*cache.Store
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
		stores = append(stores, s)
	}
	return newCopies(slices.Collect(slices.Chunk(c.Layers, 1)), stores), nil
}

// time takes the latency of the last steps: one sample a step, over all layers and the mean over all copies,
// each beside a sample of full so that their ratio survives a noisy machine.
func (p *replay) time(ctx context.Context) (*Latency, error) {
	c := p.cell
	n := p.samples()
	own := newCopies(c.groups(), p.timed)
	out := make([]float32, c.Trace.QHeads*c.Trace.HeadDim)
	runtime.GC()
	ours, theirs := make([]time.Duration, n), make([]time.Duration, n)
	for i, toks := range p.tokens {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ours[i] = own.step(c.Layers, toks, out)
		theirs[i] = p.full.step(c.Layers, toks, out)
	}
	p.full.rewind(n)
	l := p.latency(ours, theirs)
	l.Cold = own.cold && p.full.cold
	l.Bound = p.bound(time.Duration(l.MedianNS))
	return l, nil
}

// rewind takes the last n tokens out of every store again.
func (cs *copies) rewind(n int) {
	for _, stores := range cs.layers {
		for _, s := range stores {
			s.Rewind(n)
		}
	}
}

// bound says what a step of that time is bound by on this machine: overhead where it is too short to tell,
// else memory or compute, whichever needs longer for the step's bytes or operations at the measured limit.
func (p *replay) bound(step time.Duration) *string {
	limits := p.plan.Limits
	if limits == nil {
		return nil
	}
	by := "memory"
	switch {
	case step < overhead:
		by = "overhead"
	case float64(p.flops)/limits.GFLOPs > float64(p.traffic)/limits.ReadGBs:
		by = "compute"
	}
	return &by
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
