package sim

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"kvgauge/sim/cache"
	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

// replay is one cell's error pass: group by group of layers, the prompt is reduced and the last tokens
// are decoded. Memory does not grow with the number of layers.
type replay struct {
	*runner
	cell   Cell
	timing *timing // nil: the cell is not timed
	sizing bool    // only the bytes are wanted: no output is compared

	errors   accumulator
	compress time.Duration // of the prompt
	decoding time.Duration // the last tokens, compared with the reference

	once      int64   // bytes kept between steps, once for all layers
	metadata  int64   // the same, with those of each store
	weights   int64   // maps fitted on another text of the model
	prefilled int64   // bytes of the groups reduced so far, after the prompt
	peak      int64   // largest during prefill
	perStep   []int64 // [step] bytes of all groups after the append
	observed  map[int][]float64
	final     int64
	paged     int64
	traffic   int64
	flops     int64 // of the last step
	dropped   bool  // a stage of the pipeline dropped an entry, or a step left one out
}

// run replays all layers and fills the record, latency apart.
func (p *replay) run(ctx context.Context, rec *Record) error {
	c := p.cell
	p.errors = newAccumulator(c)
	if err := p.layers(ctx, rec); err != nil {
		return err
	}
	stats, err := p.errors.stats()
	if err != nil {
		return err
	}
	rec.Error = stats
	full := c.fullBytes()
	for _, n := range p.perStep {
		p.peak = max(p.peak, n)
	}
	p.metadata += p.once
	bytes := func(n int64) *int64 { n += p.once; return &n }
	rec.CacheBytes, rec.PagedBytes, rec.PeakBytes, rec.TrafficBytes = bytes(p.final), bytes(p.paged), bytes(p.peak), bytes(p.traffic)
	metadata, weights := p.metadata, p.weights // records outlive the replay and its stores
	rec.CacheBytesFull, rec.MetadataBytes, rec.WeightBytes = &full, &metadata, &weights
	if c.Pipeline.Partial && !p.dropped && !slices.ContainsFunc(rec.Warnings, func(w Warning) bool { return w.Code == "budget-above-length" }) {
		rec.warn(cache.Warning{Code: "nothing-evicted", Text: "no entry was evicted: the cache is as large as full's, and so is what a step reads"})
	}
	return nil
}

// layers replays all groups of layers.
func (p *replay) layers(ctx context.Context, rec *Record) error {
	p.perStep = make([]int64, p.cell.steps())
	if err := p.fit(ctx); err != nil {
		return err
	}
	if p.cell.Pipeline.Observes() {
		if err := p.observe(ctx); err != nil {
			return err
		}
	}
	for _, group := range p.cell.groups() {
		if err := p.group(ctx, group, rec); err != nil {
			return err
		}
	}
	return nil
}

// fit fits the maps of all groups on the calibration trace, side by side: the decompositions that it takes run on one
// thread each. What was fitted for another cell is there already.
func (p *replay) fit(ctx context.Context) error {
	c, on := p.cell, p.plan.calibration(p.cell.Trace)
	if on == nil {
		return nil
	}
	groups := c.groups()
	errs := make([]error, len(groups))
	p.pool.Run(len(groups), func(_, i int) {
		if errs[i] = ctx.Err(); errs[i] == nil {
			_, errs[i] = c.Pipeline.Prepare(c.forMethod(p.plan.Seed, nil), on, groups[i])
		}
	})
	return cmp.Or(errs...)
}

// groups returns the layers that share a store.
func (c Cell) groups() [][]int { return c.Pipeline.Groups(c.Layers, c.Trace.NumLayers) }

// groupRows is what is known of one group of layers before its cache is reduced.
type groupRows struct {
	layers       []*trace.Layer
	view, future *cache.View
	known        method.Cell
	prepared     []*cache.Decision
}

// read reads a group of layers.
func (p *replay) read(group []int) (groupRows, error) {
	c := p.cell
	r := groupRows{known: c.forMethod(p.plan.Seed, p.pool)}
	r.known.Observed = p.observed
	for _, n := range group {
		l, err := p.rows.layer(n, c.SeqLen)
		if err == nil && c.External.dense() {
			l, err = c.External.replace(n, l)
		}
		if err != nil {
			return r, err
		}
		r.layers = append(r.layers, l)
	}
	r.view, r.future = views(c, group, r.layers)
	var err error
	r.prepared, err = c.Pipeline.Prepare(r.known, p.plan.calibration(c.Trace), group)
	return r, err
}

// whole is what the prompt of one layer takes unreduced.
func (p *replay) whole() int64 {
	c := p.cell
	return 4 * int64(c.SeqLen-c.Decode) * int64(c.Trace.KVHeads) * int64(c.Trace.HeadDim)
}

// observe shows the pipeline all layers, one group after the other, before it decides on any. A server would
// have to hold them all until then.
func (p *replay) observe(ctx context.Context) error {
	seen := map[int][]float64{}
	for _, group := range p.cell.groups() {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := p.read(group)
		if err != nil {
			return err
		}
		start := time.Now()
		if seen[group[0]], err = p.cell.Pipeline.Observe(r.known, r.view, r.prepared); err != nil {
			return err
		}
		p.compress += time.Since(start)
		p.peak += p.whole()
	}
	p.observed = seen
	return nil
}

// group replays the layers of one store.
func (p *replay) group(ctx context.Context, group []int, rec *Record) error {
	c := p.cell
	r, err := p.read(group)
	if err != nil {
		return err
	}
	start := time.Now()
	decisions, reduced, err := c.Pipeline.Decide(r.known, r.view, r.future, r.prepared)
	if err != nil {
		return err
	}
	store, err := cache.Build(cache.Spec{View: reduced, Before: r.view.Shape(), Decisions: decisions, Decode: c.Decode, Pool: p.pool})
	p.compress += time.Since(start)
	if err != nil {
		return fmt.Errorf("layer %d: %w", group[0], err)
	}

	p.once = 0
	for _, d := range decisions {
		p.once += int64(d.MetaPerCache)
		p.weights += d.Weights
		for _, w := range d.Warnings {
			rec.warn(w)
		}
	}
	p.peak = max(p.peak, p.prefilled+int64(store.Producers())*p.whole()) // other layers of the group make no rows
	p.prefilled += store.Bytes()
	if p.plan.Kept {
		rec.Kept = append(rec.Kept, slices.Repeat([][][]int32{store.Kept()}, len(group))...)
	}
	start = time.Now()
	before, err := p.decode(ctx, store, r.layers, group)
	p.decoding += time.Since(start)
	if err != nil {
		return err
	}
	p.final += store.Bytes()
	p.metadata += store.Metadata()
	p.paged += store.Paged(p.plan.Page)
	p.traffic += store.Traffic()
	p.flops += store.FLOPs()
	if p.plan.Kept {
		rec.KeptFinal = append(rec.KeptFinal, slices.Repeat([][][]int32{store.Kept()}, len(group))...)
	}
	for h := range store.Heads() {
		p.dropped = p.dropped || store.Selects() || len(store.Pos(h)) < c.SeqLen
	}
	if p.timing != nil {
		return p.time(ctx, store, before, group, r.layers)
	}
	return nil
}

// decode appends and attends the last tokens, one step each, and compares every output row. Without
// decoding the one step is that of the last prompt token, which the store may have dropped. Of a cell that is
// timed it returns a copy of the store from before the timed steps.
func (p *replay) decode(ctx context.Context, store *cache.Store, layers []*trace.Layer, group []int) (before *cache.Store, err error) {
	c := p.cell
	out := make([]float32, c.Trace.QHeads*c.Trace.HeadDim)
	for i := range c.steps() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if p.timing != nil && i == c.steps()-p.timing.steps(c) {
			start := time.Now()
			before = store.Clone()
			took := time.Since(start)
			p.timing.setup += took
			p.decoding -= took
		}
		for n, l := range layers {
			tok := step(c, l, i)
			if c.Decode > 0 {
				if err := store.Append(group[n], tok.pos, tok.k, tok.v); err != nil {
					return nil, fmt.Errorf("layer %d: token %d: %w", group[n], tok.pos, err)
				}
			}
			if !p.sizing || store.Watched() {
				store.Attend(group[n], tok.pos, tok.q, out)
			}
			if !p.sizing {
				p.errors.add(p.pool, p.ref.layers[group[n]], group[n], i, store, out)
			}
			if n == len(layers)-1 {
				p.perStep[i] += store.Bytes() // before a policy makes it smaller again
			}
			if c.Decode > 0 {
				store.EndStep(group[n], tok.pos)
			}
		}
	}
	if !p.sizing && c.Pipeline.Partial {
		for n, l := range layers {
			p.errors.mass.add(p.pool, p.ref.layers[group[n]], group[n], l)
		}
	}
	return before, nil
}

// warn adds a warning once: layers often warn alike.
func (r *Record) warn(w cache.Warning) {
	if !slices.Contains(r.Warnings, Warning(w)) {
		r.Warnings = append(r.Warnings, Warning(w))
	}
}
