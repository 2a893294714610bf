package sim

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"golang.org/x/perf/benchmath"
	"gonum.org/v1/gonum/stat"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

const (
	// timedSteps is how many of the last decode steps are timed, again and again until there are samples enough.
	timedSteps = 16
	// Samples of a cell, where their number is not given: at least leastSamples, which the interval of a median needs,
	// then until the interval of the ratio to full lies within closeRatio of it, at most mostSamples or mostTime.
	leastSamples = 6
	mostSamples  = 50
	mostTime     = 250 * time.Millisecond
	closeRatio   = 0.03
	// noisyRatio is how far the interval of a ratio may reach before it is called noisy.
	noisyRatio = 0.2
	// overhead is the step below which waking threads and the work around attention decide its time.
	overhead = 50 * time.Microsecond
)

// timing takes the latency of a cell, one group of layers after the other, as the error pass gets to them: the
// stores of all layers need never be held together. A sample is the sum over the layers.
//
// Before each layer's part of a step all that it reads is dropped from the caches: between two layers real decoding
// streams weights.
type timing struct {
	cell    Cell
	pool    *kernel.Pool
	testbed *Testbed
	repeats int             // samples; 0: as many as the first group needs
	ours    []time.Duration // of the pipeline
	full    []time.Duration // of the unreduced cache, in turns with ours
	buffers [][]byte        // scratch
	spare   []fullCache     // of the layers of the group before
	out     []float32       // scratch: [query heads*channels]

	setup, sampling time.Duration // wall time of the timing itself, for forecasts
}

// newTiming is that of a cell.
func newTiming(c Cell, o Options, pool *kernel.Pool, t *Testbed) *timing {
	return &timing{cell: c, pool: pool, testbed: t, repeats: o.Repeats, out: make([]float32, c.outputNumbers())}
}

// steps is how many of the last decode steps of a cell are timed.
func (t *timing) steps() int {
	n := min(timedSteps, t.cell.Decode)
	if t.repeats > 0 {
		n = min(n, t.repeats)
	}
	return n
}

// fullCache is the unreduced cache of a layer.
type fullCache struct {
	attention *trace.Attention
	store     *cache.Store
	start     *cache.Store // as it is before the timed steps, where these overwrite rows
}

// rewind takes the last n steps back.
func (f *fullCache) rewind(n int) {
	if f.start != nil {
		f.store.CopyFrom(f.start)
		return
	}
	f.store.Rewind(n)
}

// reader is a store with the layers that read it and the tokens of the timed steps.
type reader struct {
	store  *cache.Store
	layers []int
	toks   [][]token // [step][layer]
}

// reader is that of the layers of a store, for the last n steps.
func (t *timing) reader(store *cache.Store, group []int, layers []*trace.Layer, n int) reader {
	r := reader{store: store, layers: group}
	for i := range n {
		var toks []token
		for k, l := range layers {
			toks = append(toks, step(t.cell, group[k], l, t.cell.steps()-n+i))
		}
		r.toks = append(r.toks, toks)
	}
	return r
}

// time takes the samples of a group of layers. The store has been decoded to the end and is as before when it
// holds what start does, which is its copy from before the timed steps.
func (t *timing) time(ctx context.Context, store, start *cache.Store, group []int, layers []*trace.Layer) error {
	n := t.steps()
	entered := time.Now()
	own := t.reader(store, group, layers, n)
	share := 1 // how many layers read one unreduced cache
	if !t.cell.merged(group) {
		share = len(group)
	}
	var full []reader
	for i := 0; i < len(group); i += share {
		of, rows := group[i:i+share], layers[i:i+share]
		if err := t.fullStore(i, of, rows, n); err != nil {
			return err
		}
		full = append(full, t.reader(t.spare[i].store, of, rows, n))
	}
	first := t.ours == nil
	if first {
		runtime.GC() // what the prompt left must not be collected beside the samples
	}
	t.setup += time.Since(entered)
	began, most := time.Now(), mostTime*time.Duration(len(group))/time.Duration(len(t.cell.Layers))
	for i := 0; ; i++ {
		if first && t.enough(time.Since(began), most) || !first && i == len(t.ours) {
			t.sampling += time.Since(began)
			return ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if i%n == 0 {
			store.CopyFrom(start)
		}
		ours, theirs := t.sample(&own, i%n), time.Duration(0)
		for k := range full {
			if i > 0 && i%n == 0 {
				t.spare[k].rewind(n)
			}
			theirs += t.sample(&full[k], i%n)
		}
		if first {
			t.ours, t.full = append(t.ours, 0), append(t.full, 0)
		}
		t.ours[i] += ours
		t.full[i] += theirs
	}
}

// sample times one step of the layers of a store, each of which finds it in memory.
func (t *timing) sample(r *reader, step int) (took time.Duration) {
	for i, layer := range r.layers {
		t.buffers = r.store.Buffers(t.buffers[:0])
		t.testbed.flush(t.pool, t.buffers)
		tok := &r.toks[step][i]
		start := time.Now()
		// The same append succeeded in the error pass.
		_ = r.store.Append(layer, tok.pos, tok.k, tok.v)
		r.store.Attend(layer, tok.pos, tok.q, t.out)
		r.store.EndStep(layer, tok.pos)
		took += time.Since(start)
	}
	return took
}

// fullStore makes spare[i] the unreduced cache of a layer, the i-th of its group, and of those that borrow its rows, as it is
// before the last n steps. It takes the memory of the layer that stood there before, where that is alike.
func (t *timing) fullStore(i int, of []int, layers []*trace.Layer, n int) (err error) {
	rows := t.cell.SeqLen - n
	prompt := view(t.cell.Trace, of, layers, 0, rows, rows, rows, nil)
	if i == len(t.spare) {
		t.spare = append(t.spare, fullCache{})
	}
	if err = t.spare[i].fill(t, of[0], layers[0], prompt, n); errors.Is(err, cache.ErrRange) {
		err = t.spare[i].fill(t, of[0], layers[0], clamped(prompt), n)
	}
	return err
}

// fill makes the cache that of a layer's prompt, before n further tokens.
func (full *fullCache) fill(t *timing, layer int, rows *trace.Layer, prompt *cache.View, n int) (err error) {
	a := t.cell.Trace.At(layer)
	if before := full.attention; full.store != nil && before.Same(a) && before.Ring() == 0 && a.Ring() == 0 && !a.Latent() {
		full.attention = a
		return full.store.Refill(prompt, t.pool)
	}
	*full = fullCache{attention: a}
	spec := cache.Spec{View: prompt, Before: arriving(a), Decisions: up(a, rows), Decode: n, Pool: t.pool}
	if ring := a.Ring(); ring > 0 {
		d := cache.WindowOf(prompt, ring)
		spec.View, spec.Decisions = prompt.Stored(d), append(spec.Decisions, d)
	}
	if full.store, err = cache.Build(spec); err == nil && a.Ring() > 0 {
		full.start = full.store.Clone()
	}
	return err
}

// clamped is a view without values that f16 cannot hold: a pipeline that holds them is timed beside a full cache all the
// same, whose time does not depend on them.
func clamped(v *cache.View) *cache.View {
	const most = 65504
	for _, heads := range [][][]float32{v.K, v.V} {
		for h, rows := range heads {
			heads[h] = slices.Clone(rows)
			for i, x := range rows {
				heads[h][i] = max(-most, min(most, x))
			}
		}
	}
	return v
}

// enough says whether the first group of layers has been sampled often enough, after so long: the others take as
// many samples. share is its part of mostTime.
func (t *timing) enough(spent, share time.Duration) bool {
	n := len(t.ours)
	switch {
	case t.repeats > 0:
		return n == t.repeats
	case n < leastSamples:
		return false
	}
	return n == mostSamples || spent >= share || summary(t.ratios()).reach() <= closeRatio
}

// ratios are those of the samples of the pipeline to those of full beside them.
func (t *timing) ratios() []float64 {
	var rs []float64
	for i, d := range t.ours {
		rs = append(rs, float64(d)/float64(max(1, t.full[i])))
	}
	return rs
}

// median is one with its distribution-free 95 % interval, which is infinite below leastSamples.
type median struct{ of, lo, hi float64 }

// summary is the median of samples, whose order stays.
func summary(xs []float64) median {
	s := benchmath.AssumeNothing.Summary(benchmath.NewSample(append([]float64(nil), xs...), &benchmath.DefaultThresholds), 0.95)
	return median{s.Center, s.Lo, s.Hi}
}

// reach is the longer side of the interval, as a share of the median.
func (m median) reach() float64 { return max(m.of-m.lo, m.hi-m.of) / m.of }

// latency sums the samples up. compress is the time that the prompt took once, traffic and flops are the bytes and
// operations of a step, all layers together.
func (t *timing) latency(compress time.Duration, traffic, flops int64) *record.Latency {
	l := &record.Latency{CompressNS: new(compress.Nanoseconds()), Threads: t.pool.Threads(), Kernel: kernel.Name, Cold: t.testbed.Flushing.Cold}
	var ns []float64
	for i, d := range t.ours {
		ns = append(ns, float64(d.Nanoseconds()))
		l.StepNS, l.FullStepNS = append(l.StepNS, d.Nanoseconds()), append(l.FullStepNS, t.full[i].Nanoseconds())
	}
	step, ratio := summary(ns), summary(t.ratios())
	l.MedianNS, l.MeanNS, l.RatioToFull = int64(step.of), new(int64(stat.Mean(ns, nil))), ratio.of
	if len(ns) >= leastSamples {
		lo, hi := int64(step.lo), int64(step.hi)
		l.LoNS, l.HiNS, l.RatioLo, l.RatioHi = &lo, &hi, &ratio.lo, &ratio.hi
		l.Noisy = ratio.reach() > noisyRatio
	}
	l.Bound = bound(time.Duration(l.MedianNS), traffic, flops, t.testbed.Roofline)
	return l
}

// bound says what a step of that time is bound by on a machine: overhead where it is too short to tell, else memory or
// compute, whichever needs longer for the step's bytes or operations at the roofline.
func bound(step time.Duration, traffic, flops int64, roof kernel.Roofline) *string {
	by := "memory"
	switch {
	case step < overhead:
		by = "overhead"
	case float64(flops)/roof.GFLOPs > float64(traffic)/roof.ReadGBs:
		by = "compute"
	}
	return &by
}
