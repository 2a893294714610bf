package report

import (
	"fmt"
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
	"gonum.org/v1/gonum/stat"

	"kvgauge/sim/record"
)

const (
	// significance is the chance of a false alarm in a comparison of equals; cells share it evenly.
	significance = 0.05
	// minSamples is the least that such a test can say anything with.
	minSamples = 4
	// ratioFloor is the change of ratio_to_full that is never one.
	ratioFloor = 0.05
	// outlier is by how many standard deviations of all cells' changes a change must stand out between
	// single runs. The steps of a run lie within milliseconds, so whatever else the machine did then is in
	// all of them, and no test of the steps sees it: between equal runs on a machine with three times the
	// work that it has cores for, single cells moved by 10 deviations.
	outlier = 12
)

// clock compares latencies.
type clock struct {
	limit    *float64 // nil: not at all
	old, now map[record.Key][]float64
	alpha    float64 // of one cell
	spread   float64 // standard deviation of the logarithms of all cells' changes; 0 with repetitions
}

// newClock shares the significance among the cells that can be tested, and measures how restless they are.
func newClock(before, after Side, limit *float64) *clock {
	k := &clock{limit: limit, old: before.ratios(), now: after.ratios()}
	var moves []float64
	for key, old := range k.old {
		if now := k.now[key]; len(old) >= minSamples && len(now) >= minSamples {
			moves = append(moves, math.Log(max(median(now), math.SmallestNonzeroFloat64)/max(median(old), math.SmallestNonzeroFloat64)))
		}
	}
	k.alpha = significance / float64(max(1, len(moves)))
	if before.Again == nil || after.Again == nil {
		k.spread = deviation(moves)
	}
	return k
}

// deviation is a standard deviation that outliers do not move: from the median distance to the median.
func deviation(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	middle := median(xs)
	var far []float64
	for _, x := range xs {
		far = append(far, math.Abs(x-middle))
	}
	return 1.4826 * median(far)
}

// median is that of at least one value; the order of xs stays.
func median(xs []float64) float64 {
	s := slices.Sorted(slices.Values(xs))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// compare tests whether the ratio to full of a cell has changed: by more than chance (Mann-Whitney), the
// floor, the restlessness of the cells and the limit, and in its fast steps as well: interference only ever
// adds time. It says whether there were samples to test.
func (k *clock) compare(p pair) (*Change, bool) {
	if k.limit == nil {
		return nil, false
	}
	if p.old.Latency != nil && p.new.Latency == nil {
		ch := change(p, "latency", Regression, "not measured, was "+ratioText(p.old.Latency.RatioToFull))
		ch.Figure = "latency.ratio_to_full"
		return &ch, false
	}
	old, now := k.old[p.old.Key()], k.now[p.new.Key()]
	if len(old) < minSamples || len(now) < minSamples {
		return nil, false
	}
	t := &benchmath.Thresholds{CompareAlpha: k.alpha}
	a, b := benchmath.NewSample(slices.Clone(old), t), benchmath.NewSample(slices.Clone(now), t)
	test := benchmath.AssumeNothing.Compare(a, b)
	before, after := median(old), median(now)
	if test.P >= test.Alpha {
		return nil, true
	}
	least := max(ratioFloor, before*(math.Exp(outlier*k.spread)-1))
	if after < before {
		least = max(ratioFloor, before*(1-math.Exp(-outlier*k.spread)))
	}
	fast := stat.Quantile(0.25, stat.Empirical, b.Values, nil) - stat.Quantile(0.25, stat.Empirical, a.Values, nil)
	if math.Abs(after-before) <= least || math.Abs(fast) <= ratioFloor || (fast > 0) != (after > before) {
		return nil, true
	}
	ch := change(p, "latency", judge(before, after, *k.limit), "")
	ch.Figure, ch.Old, ch.New, ch.Growth, ch.P = "latency.ratio_to_full", &before, &after, growth(before, after), &test.P
	ch.Text = fmt.Sprintf("%s, was %s%s, p=%.2g", ratioText(after), ratioText(before), growthText(ch.Growth), test.P)
	return &ch, true
}
