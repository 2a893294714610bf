package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// Loaded is a plan whose traces have been read once. Size makes a Sweep of it.
type Loaded struct {
	plan   Plan
	open   map[*trace.Header]*trace.Trace
	rows   map[*trace.Header]*rows
	doubts map[*trace.Header][]record.Warning // of every record of a trace
	fitted calibrations
}

// Load reads every row that a plan's cells use, so that a trace that is cut short or holds a NaN is found before
// anything is measured or written. It keeps those of the traces that Plan.RowBytes counts. open are the traces of the
// plan and those that maps are fitted on.
func Load(ctx context.Context, p Plan, open []*trace.Trace) (*Loaded, error) {
	defer frugal(p.MaxMemory)()
	l := &Loaded{plan: p, open: byHeader(open), rows: map[*trace.Header]*rows{}, doubts: map[*trace.Header][]record.Warning{}}
	pool := kernel.NewPool(p.Threads)
	defer pool.Close()
	l.fitted = newCalibrations(p.Options, l.open)
	held, _ := p.held()
	ranges := p.ranges()
	for _, t := range p.Traces {
		var layers []int
		for _, c := range p.Cells {
			if c.Trace == t && c.Skip == "" {
				layers = c.Layers
			}
		}
		l.rows[t] = newRows(l.open[t], ranges[t], held[t])
		if err := l.rows[t].load(ctx, layers); err != nil {
			return nil, record.InOption("trace", err)
		}
		var err error
		if l.doubts[t], err = l.rows[t].doubts(ctx, layers, pool); err != nil {
			return nil, record.InOption("trace", err)
		}
	}
	return l, nil
}

// byHeader finds open traces by their headers.
func byHeader(open []*trace.Trace) map[*trace.Header]*trace.Trace {
	of := map[*trace.Header]*trace.Trace{}
	for _, t := range open {
		of[&t.Header] = t
	}
	return of
}

// replay is the error pass of a cell, which compares nothing yet.
func (l *Loaded) replay(c Cell, pool *kernel.Pool) *replay {
	return &replay{cell: c, options: l.plan.Options, pool: pool, rows: l.rows[c.Trace], calibration: l.fitted.of(c.Trace)}
}

// Size sets the knob of each cell's pipeline to the largest cache that is not above the target, where there is one. A
// cell whose pipeline has no knob stays as it is where it fits. It fails where nothing is left to run.
func (l *Loaded) Size(ctx context.Context) (*Sweep, error) {
	s := &Sweep{Loaded: l}
	if !slices.ContainsFunc(l.plan.Cells, func(c Cell) bool { return c.target(l.plan.Options) != nil }) {
		return s, nil
	}
	pool := kernel.NewPool(l.plan.Threads)
	defer pool.Close()
	z := &sizer{options: l.plan.Options, pool: pool, replay: func(c Cell) *replay { return l.replay(c, pool) }}
	type key struct {
		tried
		seqLen int
	}
	seen := map[key]bool{}
	var cells []Cell
	for _, c := range l.plan.Cells {
		if c.Skip == "" {
			if err := z.size(ctx, &c); err != nil {
				return nil, err
			}
			if why := c.applies(l.plan.Seed); c.Skip == "" && why != nil {
				c.Skip = why.Error()
			}
		}
		// Knobs may meet: gqa and gqa:heads=1 at the size of one head.
		if k := (key{c.tried(), c.SeqLen}); !seen[k] {
			seen[k] = true
			cells = append(cells, c)
		}
	}
	l.plan.Cells = cells
	return s, l.plan.checkCells()
}

// Sweep is a plan that is ready to run.
type Sweep struct {
	*Loaded
	done int // the first so many cells have records already
}

// Plan returns the plan, with knobs set.
func (s *Sweep) Plan() *Plan { return &s.plan }

// Resume lets Run begin after the cells whose records there are. It refuses records that are not those
// of the plan's first cells.
func (s *Sweep) Resume(done []record.Record) error {
	if len(done) > len(s.plan.Cells) {
		return record.Input(fmt.Errorf("%s, the run has %s", record.Count(len(done), "record", ""), record.Count(len(s.plan.Cells), "cell", "")))
	}
	for i, r := range done {
		want, err := s.blank(s.plan.Cells[i])
		if err != nil {
			return err
		}
		if r.Key() != want.Key() {
			return record.Input(fmt.Errorf("record %d is that of %s, want %s", i+1, r.Cell(), want.Cell()))
		}
	}
	s.done = len(done)
	return nil
}

// blank is the record of a cell of which nothing is measured yet.
func (s *Sweep) blank(c Cell) (record.Record, error) {
	hash, err := s.open[c.Trace].Hash()
	if err != nil {
		return record.Record{}, fmt.Errorf("trace %s: %w", c.Trace.Name, err)
	}
	rec := c.blank(s.plan.Options, hash)
	rec.Warnings = append(rec.Warnings, s.doubts[c.Trace]...)
	return rec, nil
}

// Run measures the cells that have no record yet, in order, and hands each record to done as its cell ends. A cell
// that fails gives a record that says so; the others go on. Run ends early only where ctx is cancelled or done returns
// an error. t is nil where latency is not measured.
func (s *Sweep) Run(ctx context.Context, t *Testbed, done func(record.Record) error) error {
	defer frugal(s.plan.MaxMemory)()
	pool := kernel.NewPool(s.plan.Threads)
	defer pool.Close()
	r := &runner{sweep: s, pool: pool, testbed: t}
	for _, c := range s.plan.Cells[s.done:] {
		rec, err := r.cell(ctx, c)
		if err != nil {
			return err
		}
		if err := done(rec); err != nil {
			return err
		}
	}
	return nil
}

// runner holds what the cells of one trace and length share.
type runner struct {
	sweep   *Sweep
	pool    *kernel.Pool
	testbed *Testbed

	trace  *trace.Header
	seqLen int
	refs   map[int]*reference // by the length of the prefix
}

// cell runs one cell, or says why it is skipped. Its error is that of the run: cancelled, or a trace
// without identity.
func (r *runner) cell(ctx context.Context, c Cell) (record.Record, error) {
	if err := ctx.Err(); err != nil {
		return record.Record{}, err
	}
	rec, err := r.sweep.blank(c)
	if err != nil || c.Skip != "" {
		return rec, err
	}
	if r.trace != c.Trace || r.seqLen != c.SeqLen {
		r.trace, r.seqLen, r.refs = c.Trace, c.SeqLen, map[int]*reference{}
	}
	m, err := r.measure(ctx, c, c.timed(r.sweep.plan.Options))
	if err == nil {
		err = m.overWindows(ctx, c, r.sweep.plan.Windows, func(ctx context.Context, w Cell) (measurement, error) {
			return r.measure(ctx, w, false)
		})
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return rec, err
	case err != nil:
		rec.Status, rec.Reason = record.Failed, err.Error()
		return rec, nil
	}
	return m.record(rec, c), nil
}

// measure replays a prefix and compares it with its reference, which is computed once.
func (r *runner) measure(ctx context.Context, c Cell, timed bool) (measurement, error) {
	p := r.sweep.replay(c, r.pool)
	if r.refs[c.SeqLen] == nil {
		ref, err := newReference(ctx, c, p.rows, r.pool)
		if err != nil {
			return measurement{}, err
		}
		r.refs[c.SeqLen] = ref
	}
	p.ref = r.refs[c.SeqLen]
	if timed && r.testbed != nil {
		p.timing = newTiming(c, r.sweep.plan.Options, r.pool, r.testbed)
	}
	return p.run(ctx)
}

// Describe adds to a manifest what the sweep knows.
func (s *Sweep) Describe(m *record.Manifest, t *Testbed) error {
	p := s.plan
	m.Seed, m.Threads, m.Cells, m.Calibrate = p.Seed, p.Threads, len(p.Cells), []record.ManifestTrace{}
	if t != nil {
		m.Limits, m.Flushing = &t.Roofline, &t.Flushing
	}
	for _, h := range p.Traces {
		id, err := identity(s.open[h])
		if err != nil {
			return record.InOption("trace", err)
		}
		m.Traces = append(m.Traces, id)
		if on := p.Calibrate[h]; on != nil {
			if id, err = identity(s.open[on]); err != nil {
				return record.InOption("calibrate", err)
			}
			m.Calibrate = append(m.Calibrate, id)
		}
	}
	for _, x := range p.Externals {
		for _, r := range x.results {
			id, err := r.describe()
			if err != nil {
				return err
			}
			m.External = append(m.External, id)
		}
	}
	if p.Shard.Count > 0 {
		m.Shard = &record.ManifestShard{Index: p.Shard.Index, Count: p.Shard.Count, Plan: p.Total, Positions: p.Positions}
	}
	return nil
}

// identity is what tells a trace from every other.
func identity(t *trace.Trace) (record.ManifestTrace, error) {
	hash, err := t.Hash()
	if err != nil {
		return record.ManifestTrace{}, record.Input(fmt.Errorf("%s: %w", t.Name, err))
	}
	return record.ManifestTrace{Name: t.Name, SHA256: hash, Source: t.Source}, nil
}
