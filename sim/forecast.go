package sim

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"

	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// Forecast is how long a plan will take.
type Forecast struct {
	Load  time.Duration   // reading the rows
	Cells []time.Duration // [cell] the first of a trace and length makes their reference, the first of a pipeline its fits
	Total time.Duration
}

// NewForecast tries each pipeline on one group of layers of each of its traces, at a few short lengths with few decoded
// tokens, for half a second or somewhat more, and extends what it sees to the cells. It reads the rows that it needs
// from the open traces. t is nil where latency is not measured.
func NewForecast(ctx context.Context, p Plan, open []*trace.Trace, t *Testbed) (Forecast, error) {
	p.Windows, p.Kept = 1, false
	f := &forecaster{
		plan: p, open: byHeader(open), pool: kernel.NewPool(p.Threads), testbed: t,
		rows: map[*trace.Header]*rows{}, refs: map[trialReference]*reference{}, read: map[*trace.Header][]seen{}, refRate: map[*trace.Header]float64{},
		samples: map[*trace.Header][]float64{}, fits: map[tried][]seen{}, trials: map[tried]*trials{},
	}
	f.fitted = newCalibrations(p.Options, f.open)
	defer f.pool.Close()
	defer frugal(p.MaxMemory)()
	warm := kernel.Written(warmHeap) // a run that has gone on for a while works in memory that was used before
	runtime.KeepAlive(warm)
	runtime.GC()
	longest := p.longest()
	if err := f.fit(ctx, longest); err != nil {
		return Forecast{}, record.InOption("trace", err)
	}
	f.began = time.Now()
	for _, n := range trialLengths {
		for _, c := range longest {
			if err := f.tryAt(ctx, c, n); err != nil {
				return Forecast{}, record.InOption("trace", err)
			}
		}
	}
	return f.forecast(), nil
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

// tryAt tries the pipeline of a cell at a length, or at its own where that is shorter. Every pipeline is tried once;
// what comes after that must fit in what is left of the time.
func (f *forecaster) tryAt(ctx context.Context, c Cell, n int) error {
	k := c.tried()
	if f.trials[k] == nil {
		return f.try(ctx, c, min(n, c.SeqLen))
	}
	expected := 2 * (f.prompt(c, n) + trialDecode*f.at(k, stepParts, n, once, each) + f.at(k, setupParts, n, once, each) + trialSamples*f.at(k, sampleParts, n, once, each))
	if n > c.SeqLen || expected > f.left().Seconds() {
		return ctx.Err()
	}
	return f.try(ctx, c, n)
}

// forecast extends the trials to the cells of the plan.
func (f *forecaster) forecast() Forecast {
	p := &f.plan
	held, _ := p.held()
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
	rates := map[*trace.Header][]float64{} // seconds for a multiplication of Cell.Work
	fitted, referenced := map[tried]bool{}, map[referenceKey]bool{}
	var untried []int
	for i, c := range p.Cells {
		if c.Skip != "" {
			continue
		}
		k := c.tried()
		s := 0.0
		if t := f.trials[k]; t != nil {
			s = f.group(c)*float64(len(c.groups())) + linear(t.rest).at(c.SeqLen)
			rates[c.Trace] = append(rates[c.Trace], s/float64(max(1, c.Work)))
		} else {
			untried = append(untried, i)
		}
		if c.calibrated(p.Options) && !fitted[k] {
			fitted[k] = true
			rounds := (len(c.groups()) + p.Threads - 1) / p.Threads // groups are fitted side by side
			s += f.fitTime(c, p.Calibrate[c.Trace].Tokens) * float64(rounds)
		}
		ref := c.reference()
		if !referenced[ref] {
			referenced[ref] = true
			s += f.refRate[c.Trace] * float64(c.Reference)
		}
		if again := len(c.Layers) - held[c.Trace]; again > 0 {
			s += float64(again) * linear(f.read[c.Trace]).at(c.SeqLen)
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
	k := c.tried()
	if c.Pipeline.Fits() && !c.calibrated(f.plan.Options) {
		return fitCurve(f.trials[k].prompt, c.spectral()...).at(n)
	}
	return f.at(k, prompts, n, once, each, square)
}

// group is the seconds of one group of layers of a cell.
func (f *forecaster) group(c Cell) float64 {
	n, k := c.SeqLen, c.tried()
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

// spectral are the terms of fitting maps on rows of a group of layers: the smaller of their two Gram matrices is
// decomposed.
func (c Cell) spectral() []func(n float64) float64 {
	_, _, rowNumbers := c.widths()
	width := float64(c.shared() * rowNumbers)
	least := func(n float64) float64 { return min(n, width) }
	return []func(n float64) float64{
		once, each,
		func(n float64) float64 { return square(least(n)) },
		func(n float64) float64 { return least(n) * square(least(n)) },
	}
}

// fitTime is the seconds that fitting on rows takes, for one group of layers.
func (f *forecaster) fitTime(c Cell, rows int) float64 {
	return fitCurve(f.fits[c.tried()], c.spectral()...).at(rows)
}
