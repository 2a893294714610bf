package report

import (
	"fmt"

	"golang.org/x/perf/benchmath"

	"kvgauge/sim"
)

const (
	// significance is the chance of at least one false alarm in a comparison of equals; cells share it evenly.
	significance = 0.05
	// minSamples is the least that such a test can say anything with.
	minSamples = 6
	// ratioFloor is the change of ratio_to_full that is never one.
	ratioFloor = 0.1
)

// clock compares latencies.
type clock struct {
	limit *float64 // nil: not at all
	alpha float64  // of one cell
}

// newClock shares the significance among the cells that have samples.
func newClock(pairs []pair, limit *float64) *clock {
	k := &clock{limit: limit}
	n := 0
	for _, p := range pairs {
		if p.old != nil && p.new != nil && ratios(*p.old) != nil && ratios(*p.new) != nil {
			n++
		}
	}
	k.alpha = significance / float64(max(1, n))
	return k
}

// ratios are the samples of a cell's ratio to full, or nil where there are too few: its steps, scaled so that
// their median is ratio_to_full, the median over pairs of neighbours in time.
func ratios(r sim.Record) []float64 {
	l := r.Latency
	if l == nil || len(l.StepNS) < minSamples || l.MedianNS == 0 {
		return nil
	}
	var out []float64
	for _, ns := range l.StepNS {
		out = append(out, float64(ns)/float64(l.MedianNS)*l.RatioToFull)
	}
	return out
}

// compare tests whether the ratio to full of a cell has changed: by more than chance (Mann-Whitney), by
// more than the floor, and by more than the limit. It says whether there were samples to test.
func (k *clock) compare(p pair) (*Change, bool) {
	if k.limit == nil {
		return nil, false
	}
	if p.old.Latency != nil && p.new.Latency == nil {
		ch := change(p, "latency", Regression, "no longer measured")
		ch.Figure = "latency.ratio_to_full"
		return &ch, false
	}
	old, now := ratios(*p.old), ratios(*p.new)
	if old == nil || now == nil {
		return nil, false
	}
	t := &benchmath.Thresholds{CompareAlpha: k.alpha}
	a, b := benchmath.NewSample(old, t), benchmath.NewSample(now, t)
	test := benchmath.AssumeNothing.Compare(a, b)
	before, after := benchmath.AssumeNothing.Summary(a, 0.95).Center, benchmath.AssumeNothing.Summary(b, 0.95).Center
	if test.P >= test.Alpha || max(after-before, before-after) <= ratioFloor {
		return nil, true
	}
	ch := change(p, "latency", judge(before, after, *k.limit), "")
	ch.Figure, ch.Old, ch.New, ch.Growth, ch.P = "latency.ratio_to_full", &before, &after, growth(before, after), &test.P
	ch.Text = fmt.Sprintf("%s, was %s%s, p=%.2g", ratioText(after), ratioText(before), growthText(ch.Growth), test.P)
	return &ch, true
}
