package sim

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

const (
	// forecastTime is how long trials go on, or somewhat longer, beside those of fits: each pipeline of a trace is tried
	// once.
	forecastTime = 500 * time.Millisecond
	// trialDecode is how many tokens a trial decodes, and trialSamples how often their steps are timed.
	trialDecode  = 16
	trialSamples = 3
	// countedTrials is how many trials of a trace are sampled until their ratios agree, as cells are.
	countedTrials = 3
	// longFit is a fit that is not tried twice.
	longFit = 10 * time.Millisecond
	// warmHeap is what trials work in.
	warmHeap = 64 << 20
)

var (
	// trialLengths are the sequence lengths that trials are made at; shorter sequences are tried as they are.
	trialLengths = []int{128, 512, 2048}
	// trialRows are how many rows of a calibration trace maps are fitted on.
	trialRows = []int{128, 256}
)

// tried is a pipeline on a trace.
type tried struct {
	trace    *trace.Trace
	pipeline string
}

// trials are what the parts of a trial took, by the length of the sequence, for one group of layers.
type trials struct {
	prompt []seen // deciding and building
	step   []seen // a decoded token, compared with the reference
	setup  []seen // what comes before the samples of latency
	sample []seen // of the pipeline and of full, flushing included
	rest   []seen // once, for all groups
}

// forecaster tries the pipelines of a plan on one group of layers of each trace.
type forecaster struct {
	plan  *Plan
	pool  *kernel.Pool
	began time.Time

	rows    map[*trace.Trace]*rows
	refs    map[string]*reference
	read    map[*trace.Trace][]seen    // a layer
	refRate map[*trace.Trace]float64   // seconds for a multiplication of Cell.Reference
	samples map[*trace.Trace][]float64 // that trials took until their ratios agreed
	fits    map[tried][]seen           // of one group of layers, by the rows of the calibration trace
	trials  map[tried]*trials
}

// longest returns the longest cell of each pipeline and trace, those with the most work first: they need longer trials
// most.
func (p *Plan) longest() []Cell {
	var cells []Cell
	for _, c := range p.Cells {
		if c.Skip != "" || c.External != nil {
			continue
		}
		i := slices.IndexFunc(cells, func(o Cell) bool { return o.Trace == c.Trace && o.Pipeline.Name == c.Pipeline.Name })
		switch {
		case i < 0:
			cells = append(cells, c)
		case c.SeqLen > cells[i].SeqLen:
			cells[i] = c
		}
	}
	slices.SortStableFunc(cells, func(a, b Cell) int { return cmp.Compare(b.Work, a.Work) })
	return cells
}

// left is the time that is left for trials.
func (f *forecaster) left() time.Duration { return forecastTime - time.Since(f.began) }

// middle is the group of layers that stands for all.
func (c Cell) middle() []int {
	groups := c.groups()
	return groups[len(groups)/2]
}

// calibrated says whether the pipeline fits maps on another trace.
func (p *Plan) calibrated(c Cell) bool { return p.Calibrate[c.Trace] != nil && c.Pipeline.Fits() }

// fit fits the maps of one group of layers on a few rows. Trials then fit theirs on a few rows, too: what they hold does
// not matter.
func (f *forecaster) fit(ctx context.Context, longest []Cell) error {
	for _, c := range longest {
		on := f.plan.Calibrate[c.Trace]
		if !f.plan.calibrated(c) {
			continue
		}
		k := tried{c.Trace, c.Pipeline.Name}
		for _, rows := range trialRows {
			rows = min(rows, on.Tokens)
			var took []seen
			for range 2 { // the first finds memory that was never used
				if err := ctx.Err(); err != nil {
					return err
				}
				start := time.Now()
				if f.sideBySide(c, rows) != nil {
					break // the run will say it
				}
				if took = shorter(took, rows, time.Since(start), 1); time.Since(start) > longFit {
					break
				}
			}
			f.fits[k] = append(f.fits[k], took...)
		}
	}
	return nil
}

// sideBySide fits the same maps on every thread, as a run fits those of as many groups of layers.
func (f *forecaster) sideBySide(c Cell, rows int) error {
	errs := make([]error, f.pool.Threads())
	f.pool.Run(len(errs), func(_, i int) {
		fits := calibrate(f.plan.Calibrate[c.Trace], rows)
		if i == 0 {
			f.plan.fits[c.Trace] = fits
		}
		_, errs[i] = c.Pipeline.Prepare(c.forMethod(f.plan.Seed, nil), fits, c.middle())
	})
	return cmp.Or(errs...)
}

// tryAt tries the pipeline of a cell at a length, or at its own where that is shorter. Every pipeline is tried once;
// what comes after that must fit in what is left of the time.
func (f *forecaster) tryAt(ctx context.Context, c Cell, n int) error {
	k := tried{c.Trace, c.Pipeline.Name}
	if f.trials[k] == nil {
		return f.try(ctx, c, min(n, c.SeqLen))
	}
	expected := 2 * (f.prompt(c, n) + trialDecode*f.at(k, stepParts, n, once, each) + f.at(k, setupParts, n, once, each) + trialSamples*f.at(k, sampleParts, n, once, each))
	if n > c.SeqLen || expected > f.left().Seconds() {
		return ctx.Err()
	}
	return f.try(ctx, c, n)
}

// try makes a trial, where the pipeline applies at that length.
func (f *forecaster) try(ctx context.Context, c Cell, n int) error {
	o := f.plan.Options
	decode := c.Decode
	c.Decode = min(c.Decode, trialDecode, n/2)
	c.SeqLen, c.Windows, c.Layers = n, 1, c.middle()
	if c.SeqLen-c.Decode < 1 || c.Trace.FirstQuery() > c.firstStep() || c.fit(o.Seed) != nil {
		return ctx.Err()
	}
	r, ref, err := f.known(ctx, c, decode)
	if err != nil {
		return err
	}
	k, run := tried{c.Trace, c.Pipeline.Name}, &runner{plan: f.plan, pool: f.pool, trace: c.Trace, seqLen: n, rows: r, refs: map[int]*reference{n: ref}}
	counts := c.timed(o) && len(f.samples[c.Trace]) < countedTrials && n > trialLengths[0]
	least := trials{}
	for i := range 2 { // the first of a length finds memory that was never used
		p := &replay{cell: c, runner: run}
		if c.timed(o) {
			p.timing = newTiming(c, o)
			if i == 0 || !counts {
				p.timing.repeats = trialSamples
			}
		}
		start := time.Now()
		if err := p.compare(ctx, p, &Record{}); err != nil {
			return ctx.Err() // else the run will say it
		}
		rest := time.Since(start) - p.compress - p.decoding
		if p.timing != nil {
			taken := len(p.timing.ours)
			rest -= p.timing.setup + p.timing.sampling
			least.setup = shorter(least.setup, n, p.timing.setup, 1)
			least.sample = shorter(least.sample, n, p.timing.sampling, taken)
			if i > 0 && counts {
				f.samples[c.Trace] = append(f.samples[c.Trace], float64(taken))
			}
		}
		least.rest = shorter(least.rest, n, rest, 1)
		least.prompt = shorter(least.prompt, n, p.compress, 1)
		least.step = shorter(least.step, n, p.decoding, c.steps())
	}
	t := f.trials[k]
	if t == nil {
		t = &trials{}
		f.trials[k] = t
	}
	t.prompt, t.step = append(t.prompt, least.prompt...), append(t.step, least.step...)
	t.setup, t.sample = append(t.setup, least.setup...), append(t.sample, least.sample...)
	t.rest = append(t.rest, least.rest...)
	return nil
}

// shorter returns what was seen, or a part of the time that was taken now where that is less.
func shorter(have []seen, n int, took time.Duration, parts int) []seen {
	now := seen{n, took.Seconds() / float64(parts)}
	if len(have) > 0 && have[0].seconds < now.seconds {
		return have
	}
	return []seen{now}
}

// known returns the rows of a trial and its reference, and notes what these take where so many tokens are decoded.
func (f *forecaster) known(ctx context.Context, c Cell, decode int) (*rows, *reference, error) {
	r := f.rows[c.Trace]
	if r == nil || r.tokens != c.SeqLen {
		r = &rows{trace: c.Trace, tokens: c.SeqLen, hold: true, held: map[int]*trace.Layer{}}
		f.rows[c.Trace] = r
	}
	for _, layer := range c.Layers {
		if r.held[layer] != nil {
			continue
		}
		start := time.Now()
		if _, err := r.layer(layer, c.SeqLen); err != nil {
			return nil, nil, err
		}
		f.read[c.Trace] = append(f.read[c.Trace], seen{c.SeqLen, time.Since(start).Seconds()})
	}
	key := fmt.Sprint(slices.Index(f.plan.Traces, c.Trace), c.SeqLen, c.Decode, c.Layers)
	if f.refs[key] == nil {
		ref, err := newReference(ctx, c, r, f.pool)
		if err != nil {
			return nil, nil, err
		}
		f.refs[key] = ref
		c.Decode = min(decode, c.SeqLen/2) // decoded and prompt queries do not take the same
		if c.Trace.FirstQuery() > c.firstStep() {
			return r, ref, nil
		}
		c.estimate(f.plan.Options)
		var took []seen
		for range 2 {
			start := time.Now()
			if _, err = newReference(ctx, c, r, f.pool); err != nil {
				return nil, nil, err
			}
			took = shorter(took, c.SeqLen, time.Since(start), int(max(1, c.Reference)))
		}
		f.refRate[c.Trace] = took[0].seconds
	}
	return r, f.refs[key], nil
}
