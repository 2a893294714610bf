package sim

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"kvgauge/sim/cache"
)

// windows is how many prefixes a cell averages, of those asked for: they end at seq_len, seq_len - decode, ...
// not below seq_len/2, and the trace holds the queries of their decoded tokens. It is the same for all
// pipelines.
func (c Cell) windows(asked int) int {
	n := 1
	for n < asked && c.Decode > 0 {
		next := c
		next.SeqLen -= n * c.Decode
		if 2*next.SeqLen < c.SeqLen || next.SeqLen <= next.Decode || c.Trace.FirstQuery() > next.firstStep() {
			break
		}
		n++
	}
	return n
}

// window is the cell of the i-th prefix, 0 the longest. Budgets keep the number that they have in the longest.
func (c Cell) window(i int) (Cell, error) {
	if i == 0 {
		return c, nil
	}
	var err error
	if c.Pipeline, err = c.Pipeline.Counted(c.SeqLen); err != nil {
		return c, err
	}
	c.SeqLen -= i * c.Decode
	return c, nil
}

// fit says why the pipeline does not apply to the cell, or to one of its windows.
func (c Cell) fit(seed uint64) error {
	for i := range c.Windows {
		w, err := c.window(i)
		if err == nil {
			err = w.Pipeline.Fit(w.forMethod(seed, nil))
		}
		if err != nil && i > 0 {
			err = fmt.Errorf("window of %d tokens: %w", w.SeqLen, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// average measures the errors of the cell's further windows, and makes those of the record means over all.
func (r *runner) average(ctx context.Context, c Cell, rec *Record) error {
	if asked := r.plan.Windows; c.Windows < asked && c.External == nil {
		rec.warn(cache.Warning{Code: "clamped", Text: fmt.Sprintf(
			"%d windows of the %d asked for: the next would end below half the sequence, or before the trace's queries", c.Windows, asked)})
	}
	if c.Windows < 2 {
		return nil
	}
	all := []*ErrorStats{rec.Error}
	for i := 1; i < c.Windows; i++ {
		w, err := c.window(i)
		if err != nil {
			return err
		}
		var shorter Record
		if err := r.compare(ctx, &replay{cell: w, runner: r}, &shorter); err != nil {
			return fmt.Errorf("window of %d tokens: %w", w.SeqLen, err)
		}
		all = append(all, shorter.Error)
		for _, warning := range shorter.Warnings {
			if !rec.warned(warning.Code) {
				rec.warn(cache.Warning{Code: warning.Code, Text: fmt.Sprintf("window of %d tokens: %s", w.SeqLen, warning.Text)})
			}
		}
	}
	rec.Error = averaged(all)
	return nil
}

// warned says whether the record has a warning of the code.
func (r *Record) warned(code string) bool {
	for _, w := range r.Warnings {
		if w.Code == code {
			return true
		}
	}
	return false
}

// averaged is the mean of the errors of two or more windows, and of max_abs the largest. The worst layer is
// that of the means.
func averaged(all []*ErrorStats) *ErrorStats {
	mean := func(field func(*ErrorStats) float64) float64 {
		var xs []float64
		for _, e := range all {
			xs = append(xs, field(e))
		}
		return stat.Mean(xs, nil)
	}
	// Not every window knows its late mass, or asks for a needle.
	known := func(field func(*ErrorStats) *float64) *float64 {
		var xs []float64
		for _, e := range all {
			if x := field(e); x != nil {
				xs = append(xs, *x)
			}
		}
		if xs == nil {
			return nil
		}
		m := stat.Mean(xs, nil)
		return &m
	}
	lists := func(field func(*ErrorStats) []float64) []float64 {
		out := make([]float64, len(field(all[0])))
		for i := range out {
			out[i] = mean(func(e *ErrorStats) float64 { return field(e)[i] })
		}
		return out
	}
	m := &ErrorStats{
		RelL2P95:      mean(func(e *ErrorStats) float64 { return e.RelL2P95 }),
		RelL2Layers:   lists(func(e *ErrorStats) []float64 { return e.RelL2Layers }),
		RelL2Quarters: lists(func(e *ErrorStats) []float64 { return e.RelL2Quarters }),
		Cosine:        mean(func(e *ErrorStats) float64 { return e.Cosine }),
		Mass:          known(func(e *ErrorStats) *float64 { return e.Mass }),
		LateMass:      known(func(e *ErrorStats) *float64 { return e.LateMass }),
		Recall:        known(func(e *ErrorStats) *float64 { return e.Recall }),
	}
	for _, e := range all {
		m.RelL2Windows = append(m.RelL2Windows, e.RelL2)
		m.MaxAbs = max(m.MaxAbs, e.MaxAbs)
	}
	m.RelL2WorstLayer = floats.Max(m.RelL2Layers)
	mid, half := Interval(m.RelL2Windows)
	lo, hi := max(0, mid-half), mid+half
	m.RelL2, m.RelL2Lo, m.RelL2Hi = mid, &lo, &hi
	return m
}

// Interval is the mean of two or more values and half the width of its 95 % interval by Student's t. Windows of
// one text share most of their prompts: it says how the figure varies along the text, not over texts.
func Interval(xs []float64) (mean, half float64) {
	mean, std := stat.MeanStdDev(xs, nil)
	n := float64(len(xs))
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile(0.975)
	return mean, t * std / math.Sqrt(n)
}
