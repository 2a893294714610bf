package sim

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"

	"kvgauge/sim/kernel"
	"kvgauge/sim/method"
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

// Forecast is how long a plan will take.
type Forecast struct {
	Load  time.Duration   // reading the rows
	Cells []time.Duration // [cell] the first of a trace and length makes their reference, the first of a pipeline its fits
	Total time.Duration
}

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

// Forecast tries each pipeline on one group of layers of each of its traces, at a few short lengths with few decoded
// tokens, for half a second or somewhat more, and extends what it sees to the cells. It reads the rows that it needs.
// Where latency is measured the machine must have been (MeasureMachine).
func (p *Plan) Forecast(ctx context.Context) (Forecast, error) {
	plan := *p
	plan.Windows, plan.Kept, plan.fits = 1, false, map[*trace.Trace]*method.Calibration{}
	f := &forecaster{
		plan: &plan, pool: kernel.NewPool(p.Threads),
		rows: map[*trace.Trace]*rows{}, refs: map[string]*reference{}, read: map[*trace.Trace][]seen{}, refRate: map[*trace.Trace]float64{},
		samples: map[*trace.Trace][]float64{}, fits: map[tried][]seen{}, trials: map[tried]*trials{},
	}
	defer f.pool.Close()
	defer p.frugal()()
	warm := kernel.Written(warmHeap) // a run that has gone on for a while works in memory that was used before
	runtime.KeepAlive(warm)
	runtime.GC()
	if err := f.fit(ctx); err != nil {
		return Forecast{}, err
	}
	f.began = time.Now()
	for _, n := range trialLengths {
		for _, c := range f.longest() {
			if err := f.tryAt(ctx, c, n); err != nil {
				return Forecast{}, err
			}
		}
	}
	return f.forecast(), nil
}

// longest returns the longest cell of each pipeline and trace, those with the most work first: they need longer trials
// most.
func (f *forecaster) longest() []Cell {
	var cells []Cell
	for _, c := range f.plan.Cells {
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
func (p *Plan) calibrated(c Cell) bool { return p.Calibrate[c.Trace] != nil && c.fits() }

// spectral are the terms of fitting maps on rows of a group of layers: the smaller of their two Gram matrices is
// decomposed.
func (c Cell) spectral() []func(n float64) float64 {
	width := float64(int(c.shared()) * 2 * c.Trace.KVHeads * c.Trace.HeadDim)
	least := func(n float64) float64 { return min(n, width) }
	return []func(n float64) float64{
		once, each,
		func(n float64) float64 { return square(least(n)) },
		func(n float64) float64 { return least(n) * square(least(n)) },
	}
}

// fit fits the maps of one group of layers on a few rows. Trials then fit theirs on a few rows, too: what they hold does
// not matter.
func (f *forecaster) fit(ctx context.Context) error {
	for _, c := range f.longest() {
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

// fitTime is the seconds that fitting on rows takes, for one group of layers.
func (f *forecaster) fitTime(c Cell, rows int) float64 {
	return fitCurve(f.fits[tried{c.Trace, c.Pipeline.Name}], c.spectral()...).at(rows)
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

// forecast extends the trials to the cells of the plan.
func (f *forecaster) forecast() Forecast {
	p := f.plan
	held := p.held()
	out := Forecast{Cells: make([]time.Duration, len(p.Cells))}
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	for _, t := range p.Traces {
		layers, tokens := 0, 0
		for _, c := range p.Cells {
			if c.Trace == t && c.Skip == "" {
				layers, tokens = len(c.Layers), max(tokens, c.SeqLen)
			}
		}
		out.Load += seconds(float64(layers) * linear(f.read[t]).at(tokens))
	}
	rates := map[*trace.Trace][]float64{} // seconds for a multiplication of Cell.Work
	fitted, referenced := map[tried]bool{}, map[string]bool{}
	var untried []int
	for i, c := range p.Cells {
		if c.Skip != "" {
			continue
		}
		k := tried{c.Trace, c.Pipeline.Name}
		s := 0.0
		if t := f.trials[k]; t != nil {
			s = f.group(c)*float64(len(c.groups())) + linear(t.rest).at(c.SeqLen)
			rates[c.Trace] = append(rates[c.Trace], s/float64(max(1, c.Work)))
		} else {
			untried = append(untried, i)
		}
		if p.calibrated(c) && !fitted[k] {
			fitted[k] = true
			rounds := (len(c.groups()) + p.Threads - 1) / p.Threads // groups are fitted side by side
			s += f.fitTime(c, p.Calibrate[c.Trace].Tokens) * float64(rounds)
		}
		ref := fmt.Sprint(slices.Index(p.Traces, c.Trace), c.SeqLen)
		if !referenced[ref] {
			referenced[ref] = true
			s += f.refRate[c.Trace] * float64(c.Reference)
		}
		if _, ok := held[c.Trace]; !ok {
			s += float64(len(c.Layers)) * linear(f.read[c.Trace]).at(c.SeqLen)
		}
		out.Cells[i] = seconds(s)
	}
	for _, i := range untried {
		if rs := rates[p.Cells[i].Trace]; rs != nil {
			out.Cells[i] += seconds(summary(rs).of * float64(p.Cells[i].Work))
		}
	}
	out.Total = out.Load
	for _, d := range out.Cells {
		out.Total += d
	}
	return out
}

// linear is the curve of what takes some time once and some for each row.
func linear(all []seen) curve { return fitCurve(all, once, each) }

// The parts of trials.
func prompts(t *trials) []seen     { return t.prompt }
func stepParts(t *trials) []seen   { return t.step }
func setupParts(t *trials) []seen  { return t.setup }
func sampleParts(t *trials) []seen { return t.sample }

// at is the seconds of a part of a pipeline's trials on a trace at a length, by the terms. Where there was time for one
// length alone, it grows as it does with the other pipelines of the trace, or else of other traces.
func (f *forecaster) at(k tried, part func(*trials) []seen, n int, terms ...func(n float64) float64) float64 {
	mine := part(f.trials[k])
	if len(mine) != 1 {
		return fitCurve(mine, terms...).at(n)
	}
	var growth, elsewhere []float64
	for other, t := range f.trials {
		all := part(t)
		c := fitCurve(all, terms...)
		switch {
		case len(all) < 2 || c.at(mine[0].n) == 0:
		case other.trace == k.trace:
			growth = append(growth, c.at(n)/c.at(mine[0].n))
		default:
			elsewhere = append(elsewhere, c.at(n)/c.at(mine[0].n))
		}
	}
	if growth == nil {
		growth = elsewhere
	}
	if growth == nil {
		return fitCurve(mine, terms...).at(n)
	}
	return mine[0].seconds * summary(growth).of
}

// prompt is the seconds that deciding on the prompt of n tokens takes, for one group of layers.
func (f *forecaster) prompt(c Cell, n int) float64 {
	k := tried{c.Trace, c.Pipeline.Name}
	if c.fits() && !f.plan.calibrated(c) {
		return fitCurve(f.trials[k].prompt, c.spectral()...).at(n)
	}
	return f.at(k, prompts, n, once, each, square)
}

// group is the seconds of one group of layers of a cell.
func (f *forecaster) group(c Cell) float64 {
	n, k := c.SeqLen, tried{c.Trace, c.Pipeline.Name}
	s := float64(max(1, c.Windows)) * (f.prompt(c, n) + float64(c.steps())*f.at(k, stepParts, n, once, each))
	if !c.timed(f.plan.Options) || f.trials[k].sample == nil {
		return s
	}
	samples, sample := float64(f.plan.Repeats), f.at(k, sampleParts, n, once, each)
	if samples == 0 {
		most := mostTime.Seconds() / (sample * float64(len(c.groups())))
		usual := float64(usualSamples)
		if counted := f.samples[c.Trace]; counted != nil {
			usual = stat.Mean(counted, nil)
		}
		samples = max(leastSamples, min(usual, most))
	}
	return s + f.at(k, setupParts, n, once, each) + samples*sample
}
