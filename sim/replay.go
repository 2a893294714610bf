package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/method"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// replay is one cell's error pass: group by group of layers, the prompt is reduced and the last tokens
// are decoded. Memory does not grow with the number of layers.
type replay struct {
	cell        Cell
	options     Options
	pool        *kernel.Pool
	rows        *rows
	calibration *method.Calibration // nil: maps are fitted on the prompt
	ref         *reference          // nil: only the bytes are wanted, no output is compared
	timing      *timing             // nil: the cell is not timed

	errors   accumulator
	observed map[int][]float64
	measurement
}

// measurement is what a replay gives.
type measurement struct {
	tally
	accuracy        *record.ErrorStats
	kept, keptFinal [][][]int32 // where they are asked for
	warnings        []record.Warning
	compress        time.Duration // of the prompt
	decoding        time.Duration // of the last tokens, compared with the reference
	latency         *record.Latency
}

// run replays all layers.
func (p *replay) run(ctx context.Context) (measurement, error) {
	for _, w := range p.cell.Warnings {
		p.warn(w)
	}
	p.errors = newAccumulator(p.cell)
	if err := p.layers(ctx); err != nil {
		return measurement{}, err
	}
	var err error
	if p.accuracy, err = p.errors.stats(); err != nil {
		return measurement{}, err
	}
	if p.cell.Pipeline.Partial && !p.dropped && !p.warned("budget-above-length") {
		p.warn(cache.Warning{Code: "nothing-evicted", Text: "no entry was evicted: the cache is as large as full's, and so is what a step reads"})
	}
	if n := p.clipped; n.Values > 0 {
		p.warn(cache.Warning{Code: "clamped", Text: fmt.Sprintf("%d of %d stored values were beyond the largest code and are stored as that", n.Values, n.Of)})
	}
	if p.timing != nil {
		p.latency = p.timing.latency(p.compress, p.traffic, p.flops)
	}
	return p.measurement, nil
}

// layers replays all groups of layers.
func (p *replay) layers(ctx context.Context) error {
	p.perStep, p.states = make([]int64, p.cell.steps()), p.cell.Trace.StateBytes()
	if err := p.fitMaps(ctx); err != nil {
		return err
	}
	if p.cell.Pipeline.Observes() {
		if err := p.observe(ctx); err != nil {
			return err
		}
	}
	for _, group := range p.cell.groups() {
		if err := p.group(ctx, group); err != nil {
			return p.cell.inRange(err)
		}
	}
	return nil
}

// inRange adds to an error of a value that f16 cannot hold which pipeline can.
func (c Cell) inRange(err error) error {
	if !errors.Is(err, cache.ErrRange) {
		return err
	}
	return fmt.Errorf("%w; %s holds it", err, c.Pipeline.Wider())
}

// fitMaps fits the maps of all groups on the calibration trace, side by side: the decompositions that it takes run on
// one thread each. What was fitted for another cell is there already.
func (p *replay) fitMaps(ctx context.Context) error {
	if p.calibration == nil {
		return nil
	}
	groups := p.cell.groups()
	errs := make([]error, len(groups))
	p.pool.Run(len(groups), func(_, i int) {
		if errs[i] = ctx.Err(); errs[i] == nil {
			_, errs[i] = p.cell.Pipeline.Prepare(p.cell.forMethod(p.options.Seed, nil, groups[i][0]), p.calibration, groups[i])
		}
	})
	return cmp.Or(errs...)
}

// groupRows is what is known of one group of layers before its cache is reduced.
type groupRows struct {
	layers       []*trace.Layer
	view, future *cache.View
	absorbing    time.Duration // what projecting the prompt's queries took, of a latent layer
	known        method.Cell
	prepared     []*cache.Decision
}

// read reads a group of layers.
func (p *replay) read(group []int) (groupRows, error) {
	c := p.cell
	r := groupRows{known: c.forMethod(p.options.Seed, p.pool, group[0])}
	r.known.Observed = p.observed
	first := c.firstQuery(p.options)
	for _, n := range group {
		l, err := p.rows.layer(n, c.SeqLen, first)
		if x := c.result(); err == nil && x.dense() {
			l, err = x.replace(c.Trace.Owner(n), l)
		}
		if err != nil {
			return r, err
		}
		r.layers = append(r.layers, l)
	}
	queries := r.layers[0].FirstQuery
	if c.Trace.At(group[0]).Latent() { // no more of them are absorbed than the pipeline looks at
		queries = max(queries, min(c.prompt()-1, c.Pipeline.FirstQuery(r.known, p.calibration != nil && c.Pipeline.Fits())))
	}
	start := time.Now()
	r.view = promptView(c, group, r.layers, queries, p.pool)
	r.absorbing = time.Since(start)
	r.future = futureView(c, group, r.layers, p.pool)
	var err error
	r.prepared, err = c.Pipeline.Prepare(r.known, p.calibration, group)
	return r, err
}

// observe shows the pipeline all layers, one group after the other, before it decides on any. A server would
// have to hold them all until then.
func (p *replay) observe(ctx context.Context) error {
	seen := map[int][]float64{}
	for _, group := range p.cell.groups() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !p.cell.Pipeline.ObservesIn(p.cell.forMethod(p.options.Seed, nil, group[0])) {
			continue
		}
		r, err := p.read(group)
		if err != nil {
			return err
		}
		start := p.begin()
		if seen[group[0]], err = p.cell.Pipeline.Observe(r.known, r.view, r.prepared); err != nil {
			return err
		}
		p.compress += time.Since(start)
		for _, layer := range group {
			p.peak += p.cell.layerBytes(layer, p.cell.prompt())
		}
	}
	p.observed = seen
	return nil
}

// begin is when something that a prompt takes once begins, on threads that are awake, as they are in a server whose last work
// was the prompt: to wake one takes as long as a small layer's decision.
func (p *replay) begin() time.Time {
	p.pool.Run(p.pool.Threads(), func(int, int) {})
	return time.Now()
}

// group replays the layers of one store.
func (p *replay) group(ctx context.Context, group []int) error {
	c := p.cell
	r, err := p.read(group)
	if err != nil {
		return err
	}
	start := p.begin()
	decisions, reduced, err := c.Pipeline.Decide(r.known, r.view, r.future, r.prepared)
	if err != nil {
		return err
	}
	a := c.Trace.At(group[0])
	store, err := cache.Build(cache.Spec{
		View: reduced, Before: arriving(a), Decisions: append(up(a, r.layers[0]), decisions...), Decode: c.Decode, Pool: p.pool,
	})
	p.compress += time.Since(start) + r.absorbing
	if err != nil {
		return fmt.Errorf("layer %d: %w", group[0], err)
	}
	for _, d := range decisions {
		for _, w := range d.Warnings {
			p.warn(w)
		}
	}
	p.decided(c, group, decisions, store)
	if c.merged(group) || method.Changes(decisions) {
		p.changed += len(group)
	}
	if p.options.Kept {
		p.kept = c.byLayer(p.kept, group, store.Kept())
	}
	start = time.Now()
	before, err := p.decode(ctx, store, r.layers, group)
	p.decoding += time.Since(start)
	if err != nil {
		return err
	}
	p.decoded(c, group[0], store, p.options.Page)
	if p.options.Kept {
		p.keptFinal = c.byLayer(p.keptFinal, group, store.Kept())
	}
	if p.timing != nil {
		return p.timing.time(ctx, store, before, group, r.layers)
	}
	return nil
}

// byLayer puts what the layers of a group have in common where the cell's layers stand, of which all is made room for.
func (c Cell) byLayer(of [][][]int32, group []int, kept [][]int32) [][][]int32 {
	if of == nil {
		of = make([][][]int32, len(c.Layers))
	}
	for _, layer := range group {
		of[slices.Index(c.Layers, layer)] = kept
	}
	return of
}

// decode appends and attends the last tokens, one step each, and compares every output row. Without
// decoding the one step is that of the last prompt token, which the store may have dropped. Of a cell that is
// timed it returns a copy of the store from before the timed steps.
func (p *replay) decode(ctx context.Context, store *cache.Store, layers []*trace.Layer, group []int) (before *cache.Store, err error) {
	c := p.cell
	out := make([]float32, c.outputNumbers())
	for i := range c.steps() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if p.timing != nil && i == c.steps()-p.timing.steps() {
			start := time.Now()
			before = store.Clone()
			took := time.Since(start)
			p.timing.setup += took
			p.decoding -= took
		}
		for n, l := range layers {
			tok := step(c, group[n], l, i)
			if c.Decode > 0 {
				if err := store.Append(group[n], tok.pos, tok.k, tok.v); err != nil {
					return nil, fmt.Errorf("layer %d: token %d: %w", group[n], tok.pos, err)
				}
			}
			if p.ref != nil || store.Watched() {
				store.Attend(group[n], tok.pos, tok.q, out)
			}
			if p.ref != nil {
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
	if p.ref != nil && c.Pipeline.Partial {
		for n, l := range layers {
			p.errors.mass.add(p.pool, p.ref.layers[group[n]], group[n], l)
		}
	}
	return before, nil
}

// warn adds a warning once: layers often warn alike.
func (m *measurement) warn(w cache.Warning) {
	if !slices.Contains(m.warnings, record.Warning(w)) {
		m.warnings = append(m.warnings, record.Warning(w))
	}
}

// warned says whether there is a warning of the code.
func (m *measurement) warned(code string) bool {
	return slices.ContainsFunc(m.warnings, func(w record.Warning) bool { return w.Code == code })
}
