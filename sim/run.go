package sim

import (
	"context"
	"errors"
	"fmt"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// Schema is the version of Record.
const Schema = 1

// Run measures the cells of a loaded plan that have no record yet, in order, and hands each record to done
// as its cell ends. A cell that fails gives a record that says so; the others go on. Run ends early only
// where ctx is cancelled or done returns an error.
func Run(ctx context.Context, p *Plan, done func(Record) error) error {
	defer p.frugal()()
	pool := kernel.NewPool(p.Threads)
	defer pool.Close()
	r := &runner{plan: p, pool: pool}
	for _, c := range p.Cells[p.Done:] {
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
	plan *Plan
	pool *kernel.Pool

	trace  *trace.Trace
	seqLen int
	rows   *rows
	refs   map[int]*reference // by the length of the prefix
	ref    *reference         // of the prefix that is replayed
}

// cell runs one cell, or says why it is skipped. Its error is that of the run: cancelled, or a trace
// without identity.
func (r *runner) cell(ctx context.Context, c Cell) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	rec, err := r.plan.blank(c)
	if err != nil {
		return Record{}, err
	}
	if c.Target > 0 {
		rec.TargetBytes, rec.Knob = &c.Target, c.Knob
	}
	if c.Skip != "" {
		rec.Status, rec.Reason = Skipped, c.Skip
		return rec, nil
	}
	measured := rec
	err = r.measure(ctx, c, &measured)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Record{}, err
	case err != nil:
		rec.Status, rec.Reason = Failed, err.Error()
		return rec, nil
	}
	return measured, nil
}

// blank is the record of a cell of which nothing is measured yet.
func (p *Plan) blank(c Cell) (Record, error) {
	t := c.Trace
	hash, err := t.Hash()
	if err != nil {
		return Record{}, fmt.Errorf("trace %s: %w", t.Name, err)
	}
	return Record{
		Schema: Schema, Status: OK, Trace: t.Name, TraceSHA256: hash, Model: t.Model,
		Pipeline: c.Pipeline.Name, Family: c.Pipeline.Family, SeqLen: c.SeqLen, Decode: c.Decode, Windows: c.Windows,
		Layers: c.Layers, NumLayers: t.NumLayers, QHeads: t.QHeads, KVHeads: t.KVHeads, HeadDim: t.HeadDim,
		Seed: p.Seed, Warnings: []Warning{}, Version: p.Version,
	}, nil
}

// measure fills the record of a cell that applies.
func (r *runner) measure(ctx context.Context, c Cell, rec *Record) error {
	if r.trace != c.Trace || r.seqLen != c.SeqLen {
		r.trace, r.seqLen, r.rows, r.refs = c.Trace, c.SeqLen, r.plan.rows[c.Trace], map[int]*reference{}
	}
	for _, w := range c.Warnings {
		rec.warn(w)
	}
	p := &replay{cell: c, runner: r}
	if c.timed(r.plan.Options) {
		p.timing = newTiming(c, r.plan.Options)
	}
	if err := r.compare(ctx, p, rec); err != nil {
		return err
	}
	if err := r.average(ctx, c, rec); err != nil {
		return err
	}
	if c.External.dense() {
		c.External.declare(rec)
	}
	if p.timing != nil {
		rec.Latency = p.latency()
	}
	return nil
}

// compare replays a prefix and compares it with its reference, which is computed once.
func (r *runner) compare(ctx context.Context, p *replay, rec *Record) error {
	n := p.cell.SeqLen
	if r.refs[n] == nil {
		ref, err := newReference(ctx, p.cell, r.rows, r.pool)
		if err != nil {
			return err
		}
		r.refs[n] = ref
	}
	r.ref = r.refs[n]
	return p.run(ctx, rec)
}
