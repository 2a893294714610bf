package sim

import (
	"cmp"
	"context"
	"fmt"
	"math"
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

// trials are what the parts of a trial took, by the length of the sequence, for one group of layers.
type trials struct {
	prompt []seen // deciding and building
	step   []seen // a decoded token, compared with the reference
	setup  []seen // what comes before the samples of latency
	sample []seen // of the pipeline and of full, flushing included
	rest   []seen // once, for all groups
}

// trialReference is what trials that share a reference have in common.
type trialReference struct {
	referenceKey
	layers string
}

// forecaster tries the pipelines of a plan on one group of layers of each trace.
type forecaster struct {
	plan    Plan
	open    map[*trace.Header]*trace.Trace
	pool    *kernel.Pool
	testbed *Testbed // nil where nothing is timed
	began   time.Time

	rows    map[*trace.Header]*rows
	refs    map[trialReference]*reference
	read    map[*trace.Header][]seen    // a layer
	refRate map[*trace.Header]float64   // seconds for a multiplication of Cell.Reference
	samples map[*trace.Header][]float64 // that trials took until their ratios agreed
	fitted  calibrations
	fits    map[tried][]seen // of one group of layers, by the rows of the calibration trace
	trials  map[tried]*trials
}

// middle is the group of layers that stands for all.
func (c Cell) middle() []int {
	groups := c.groups()
	return groups[len(groups)/2]
}

// fit fits the maps of one group of layers on a few rows. Trials then fit theirs on a few rows, too: what they hold does
// not matter.
func (f *forecaster) fit(ctx context.Context, longest []Cell) error {
	for _, c := range longest {
		on := f.plan.Calibrate[c.Trace]
		if !c.calibrated(f.plan.Options) {
			continue
		}
		k := c.tried()
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
		fits := calibrate(f.fitted.on[c.Trace], rows)
		if i == 0 {
			f.fitted.fitted[c.Trace] = fits
		}
		_, errs[i] = c.Pipeline.Prepare(c.forMethod(f.plan.Seed, nil, c.middle()[0]), fits, c.middle())
	})
	return cmp.Or(errs...)
}

// try makes a trial, where the pipeline applies at that length.
func (f *forecaster) try(ctx context.Context, c Cell, n int) error {
	o := f.plan.Options
	decode := c.Decode
	c.Decode = min(c.Decode, trialDecode, n/2)
	c.SeqLen, c.Windows, c.Layers = n, 1, c.middle()
	if c.prompt() < 1 || c.Trace.FirstQuery() > c.firstStep() || c.applies(o.Seed) != nil {
		return ctx.Err()
	}
	r, ref, err := f.known(ctx, c, decode)
	if err != nil {
		return err
	}
	k := c.tried()
	counts := c.timed(o) && len(f.samples[c.Trace]) < countedTrials && n > trialLengths[0]
	least := trials{}
	for i := range 2 { // the first of a length finds memory that was never used
		p := &replay{cell: c, options: o, pool: f.pool, rows: r, calibration: f.fitted.of(c.Trace), ref: ref}
		if c.timed(o) {
			p.timing = newTiming(c, o, f.pool, f.testbed)
			if i == 0 || !counts {
				p.timing.repeats = trialSamples
			}
		}
		start := time.Now()
		if _, err := p.run(ctx); err != nil {
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
		read := rowsRange{c.SeqLen, c.firstQuery(f.plan.Options)}
		for _, other := range f.plan.Cells {
			if other.Trace == c.Trace && other.Skip == "" {
				c.Pipeline, c.External = other.Pipeline, other.External
				read = read.with(c.SeqLen, c.firstQuery(f.plan.Options))
			}
		}
		r = newRows(f.open[c.Trace], read, math.MaxInt)
		f.rows[c.Trace] = r
	}
	for _, layer := range c.Layers {
		if r.held[layer] != nil {
			continue
		}
		start := time.Now()
		if _, err := r.layer(layer, c.SeqLen, r.first); err != nil {
			return nil, nil, err
		}
		f.read[c.Trace] = append(f.read[c.Trace], seen{c.SeqLen, time.Since(start).Seconds()})
	}
	key := trialReference{c.reference(), fmt.Sprint(c.Layers)}
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
