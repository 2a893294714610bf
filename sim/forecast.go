package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"

	"kvgauge/sim/kernel"
	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

const (
	// forecastTime is how long trials go on, or somewhat longer: each pipeline of a trace is tried once.
	forecastTime = 500 * time.Millisecond
	// trialDecode is how many tokens a trial decodes, and trialSamples how often their steps are timed.
	trialDecode  = 8
	trialSamples = 3
	// countedTrials is how many trials of a trace are sampled until their ratios agree, as cells are.
	countedTrials = 4
)

var (
	// trialLengths are the sequence lengths that trials are made at; shorter sequences are tried as they are.
	trialLengths = []int{128, 256, 512, 1024}
	// trialRows are how many rows of a calibration trace maps are fitted on.
	trialRows = []int{64, 128}
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
}

// forecaster tries the pipelines of a plan on one group of layers of each trace.
type forecaster struct {
	plan  *Plan
	pool  *kernel.Pool
	began time.Time

	rows         map[*trace.Trace]*rows
	refs         map[string]*reference
	read         map[*trace.Trace][]seen                // a layer
	refRate      map[*trace.Trace]float64               // seconds for a multiplication of Cell.Reference
	samples      map[*trace.Trace][]float64             // that trials took until their ratios agreed
	calibrations map[*trace.Trace][]*method.Calibration // on so many rows
	fits         map[tried][]seen                       // of one group of layers, by the rows of the calibration trace
	trials       map[tried]*trials
}

// Forecast tries each pipeline on one group of layers of each of its traces, at a few short lengths with few decoded
// tokens, for half a second or somewhat more, and extends what it sees to the cells. It reads the rows that it needs.
// Where latency is measured the machine must have been (MeasureMachine).
func (p *Plan) Forecast(ctx context.Context) (Forecast, error) {
	plan := *p
	plan.Windows, plan.Kept, plan.fits = 1, false, map[*trace.Trace]*method.Calibration{}
	f := &forecaster{
		plan: &plan, pool: kernel.NewPool(p.Threads), began: time.Now(),
		rows: map[*trace.Trace]*rows{}, refs: map[string]*reference{}, read: map[*trace.Trace][]seen{}, refRate: map[*trace.Trace]float64{},
		samples: map[*trace.Trace][]float64{}, calibrations: map[*trace.Trace][]*method.Calibration{}, fits: map[tried][]seen{}, trials: map[tried]*trials{},
	}
	defer f.pool.Close()
	defer p.frugal()()
	if err := f.fit(ctx); err != nil {
		return Forecast{}, err
	}
	for _, n := range trialLengths {
		for _, c := range f.longest() {
			if err := f.tryAt(ctx, c, n); err != nil {
				return Forecast{}, err
			}
		}
	}
	return f.forecast(), nil
}

// longest returns the longest cell of each pipeline and trace, in the order of the plan.
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

// decomposition is the term of fitting maps on n rows of a group of layers: the products of rows with themselves, and
// the decomposition of the smaller of the two matrices.
func (c Cell) decomposition(n float64) float64 {
	width := float64(int(c.shared()) * 2 * c.Trace.KVHeads * c.Trace.HeadDim)
	least := min(n, width)
	return n*width*least + 10*least*least*least
}

// fit fits the maps of one group of layers on a few rows. Trials go on with the last: their values do not matter.
func (f *forecaster) fit(ctx context.Context) error {
	for _, c := range f.longest() {
		on := f.plan.Calibrate[c.Trace]
		if !f.plan.calibrated(c) {
			continue
		}
		if f.calibrations[c.Trace] == nil {
			for _, rows := range trialRows {
				f.calibrations[c.Trace] = append(f.calibrations[c.Trace], calibrate(on, min(rows, on.Tokens)))
			}
		}
		for i, rows := range trialRows {
			if err := ctx.Err(); err != nil {
				return err
			}
			f.plan.fits[c.Trace] = f.calibrations[c.Trace][i]
			start := time.Now()
			if _, err := c.Pipeline.Prepare(c.forMethod(f.plan.Seed, nil), f.plan.fits[c.Trace], c.middle()); err != nil {
				break // the run will say it
			}
			k := tried{c.Trace, c.Pipeline.Name}
			f.fits[k] = append(f.fits[k], seen{min(rows, on.Tokens), time.Since(start).Seconds()})
		}
	}
	return nil
}

// tryAt tries the pipeline of a cell at a length, or at its own where that is shorter. Every pipeline is tried once;
// what comes after that must fit in what is left of the time.
func (f *forecaster) tryAt(ctx context.Context, c Cell, n int) error {
	t := f.trials[tried{c.Trace, c.Pipeline.Name}]
	if t == nil {
		return f.try(ctx, c, min(n, c.SeqLen))
	}
	expected := 2 * (f.prompt(c, t, n) + trialDecode*linear(t.step).at(n) + linear(t.setup).at(n) + trialSamples*linear(t.sample).at(n))
	if n > c.SeqLen || expected > f.left().Seconds() {
		return ctx.Err()
	}
	return f.try(ctx, c, n)
}

// try makes a trial, where the pipeline applies at that length.
func (f *forecaster) try(ctx context.Context, c Cell, n int) error {
	o := f.plan.Options
	c.Decode = min(c.Decode, trialDecode, n/2)
	c.SeqLen, c.Windows, c.Layers = n, 1, c.middle()
	if c.SeqLen-c.Decode < 1 || c.Trace.FirstQuery() > c.firstStep() || c.fit(o.Seed) != nil {
		return ctx.Err()
	}
	r, ref, err := f.known(ctx, c)
	if err != nil {
		return err
	}
	k, run := tried{c.Trace, c.Pipeline.Name}, &runner{plan: f.plan, pool: f.pool, trace: c.Trace, seqLen: n, rows: r, refs: map[int]*reference{n: ref}}
	counts := c.timed(o) && len(f.samples[c.Trace]) < countedTrials && n > trialLengths[0]
	if !counts {
		o.Repeats = trialSamples
	}
	least := trials{}
	for range 2 { // the first of a length finds memory that was never used
		p := &replay{cell: c, runner: run}
		if c.timed(o) {
			p.timing = newTiming(c, o)
		}
		start := time.Now()
		if err := p.compare(ctx, p, &Record{}); err != nil {
			return ctx.Err() // else the run will say it
		}
		prompt := time.Since(start) - p.decoding
		if p.timing != nil {
			taken := len(p.timing.ours)
			prompt -= p.timing.setup + p.timing.sampling
			least.setup = shorter(least.setup, n, p.timing.setup, 1)
			least.sample = shorter(least.sample, n, p.timing.sampling, taken)
			if counts {
				f.samples[c.Trace] = append(f.samples[c.Trace], float64(taken))
			}
		}
		least.prompt = shorter(least.prompt, n, prompt, 1)
		least.step = shorter(least.step, n, p.decoding, c.steps())
	}
	t := f.trials[k]
	if t == nil {
		t = &trials{}
		f.trials[k] = t
	}
	t.prompt, t.step = append(t.prompt, least.prompt...), append(t.step, least.step...)
	t.setup, t.sample = append(t.setup, least.setup...), append(t.sample, least.sample...)
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

// known returns the rows of a trial and its reference, and notes what they took.
func (f *forecaster) known(ctx context.Context, c Cell) (*rows, *reference, error) {
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
		for range 2 {
			start := time.Now()
			ref, err := newReference(ctx, c, r, f.pool)
			if err != nil {
				return nil, nil, err
			}
			c.estimate(f.plan.Options)
			f.refs[key], f.refRate[c.Trace] = ref, time.Since(start).Seconds()/float64(max(1, c.Reference))
		}
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
			s = f.group(c, t) * float64(len(c.groups()))
			rates[c.Trace] = append(rates[c.Trace], s/float64(max(1, c.Work)))
		} else {
			untried = append(untried, i)
		}
		if p.calibrated(c) && !fitted[k] {
			fitted[k] = true
			rounds := (len(c.groups()) + p.Threads - 1) / p.Threads // groups are fitted side by side
			s += fitCurve(f.fits[k], each, c.decomposition).at(p.Calibrate[c.Trace].Tokens) * float64(rounds)
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
			out.Cells[i] += seconds(middle(rs) * float64(p.Cells[i].Work))
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

// prompt is the seconds that deciding on the prompt of n tokens takes, for one group of layers.
func (f *forecaster) prompt(c Cell, t *trials, n int) float64 {
	if c.fits() && !f.plan.calibrated(c) {
		return fitCurve(t.prompt, each, c.decomposition).at(n)
	}
	return fitCurve(t.prompt, once, each, square).at(n)
}

// group is the seconds of one group of layers of a cell.
func (f *forecaster) group(c Cell, t *trials) float64 {
	n := c.SeqLen
	s := float64(max(1, c.Windows)) * (f.prompt(c, t, n) + float64(c.steps())*linear(t.step).at(n))
	if !c.timed(f.plan.Options) || t.sample == nil {
		return s
	}
	samples, sample := float64(f.plan.Repeats), linear(t.sample).at(n)
	if samples == 0 {
		most := mostTime.Seconds() / (sample * float64(len(c.groups())))
		usual := float64(usualSamples)
		if counted := f.samples[c.Trace]; counted != nil {
			usual = stat.Mean(counted, nil)
		}
		samples = max(leastSamples, min(usual, most))
	}
	return s + linear(t.setup).at(n) + samples*sample
}

// middle is the median of some numbers.
func middle(xs []float64) float64 { return summary(xs).of }
