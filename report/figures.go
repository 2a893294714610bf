package report

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"

	"kvgauge/sim/record"
)

// errorFloor is the least error that pictures resolve. That of the full cache is rounding to f16, far
// below what any reduction does.
const errorFloor = 1e-4

const (
	captionEqual  = "Markers that would hide each other stand side by side; the lines go through the values."
	captionBounds = "Grey and thin are bounds, which are no methods: what a policy could reach, or must beat."
)

// bytesFigure shows the cache over the sequence length.
func bytesFigure(records []record.Record, look map[string]style) figure {
	f := overLengths(records, look, "cache after the last step", func(r record.Record) (y, lo, hi float64, ok bool) {
		if r.CacheBytes == nil || *r.CacheBytes == 0 {
			return 0, 0, 0, false
		}
		v := float64(*r.CacheBytes)
		return v, v, v, true
	})
	ownRanges(f.panels, byteTicks{})
	f.title = "KV cache of the layers that the trace holds, by sequence length"
	f.captions = captions(records, captionEqual, "Payload and metadata of all layers in the trace after the last decode step.", windowsNote(records))
	return f
}

// latencyFigure shows the time of a step over the sequence length: the ratio to full's step beside it, times the
// median of all of full's steps at that length, so that the curves cannot contradict the ratios.
func latencyFigure(records []record.Record, look map[string]style) figure {
	steps := map[sectionKey][]float64{}
	for _, r := range records {
		if ns := fullStepNS(r); ns != nil {
			steps[keyOf(r)] = append(steps[keyOf(r)], *ns)
		}
	}
	f := overLengths(records, look, "ratio to full x full's step", func(r record.Record) (y, lo, hi float64, ok bool) {
		l := r.Latency
		if l == nil || l.RatioToFull == 0 {
			return 0, 0, 0, false
		}
		full := median(steps[keyOf(r)])
		y, lo, hi = l.RatioToFull*full, l.RatioToFull*full, l.RatioToFull*full
		if l.RatioLo != nil && l.RatioHi != nil {
			lo, hi = max(1, *l.RatioLo*full), *l.RatioHi*full
		}
		return y, lo, hi, true
	})
	ownRanges(f.panels, decadeTicks{text: timeText})
	f.title = "Latency of one decode step's attention over all layers, by sequence length"
	f.captions = captions(records, captionEqual, latencyCaption(records))
	return f
}

// latencyCaption says how the time was taken, as the first record that has one knows it.
func latencyCaption(records []record.Record) string {
	i := slices.IndexFunc(records, func(r record.Record) bool { return r.Latency != nil })
	if i < 0 {
		return ""
	}
	l := records[i].Latency
	return fmt.Sprintf("Median ratio to the full cache's step beside it, times the median of full's steps, with %d threads and kernel %s; bars are the ratio's 95 %% interval. %s",
		l.Threads, oneLine(l.Kernel), noteLatency(records))
}

// errorFigure shows the error over the sequence length.
func errorFigure(records []record.Record, look map[string]style) figure {
	f := overLengths(records, look, "rel_l2 error of attention", func(r record.Record) (y, lo, hi float64, ok bool) {
		if r.Error == nil {
			return 0, 0, 0, false
		}
		y, lo, hi = r.Error.RelL2, r.Error.RelL2, r.Error.RelL2
		if r.Error.RelL2Lo != nil && r.Error.RelL2Hi != nil {
			lo, hi = *r.Error.RelL2Lo, *r.Error.RelL2Hi
		}
		return y, lo, hi, true
	})
	f.title = "Attention-output error against float64 over the whole cache, by sequence length"
	_, clamped := errorAxes(f.panels)
	f.captions = captions(records, captionEqual, clamped, noteLocal, retrainedNote(records))
	return f
}

// tradeoffFigure shows the error over the cache at each trace's longest length.
func tradeoffFigure(records []record.Record, look map[string]style) figure {
	var f figure
	for _, rs := range traceRecords(records) {
		longest := 0
		usable := func(r record.Record) bool { return r.Error != nil && ofFull(r) != nil && *r.CacheBytes > 0 }
		for _, r := range rs {
			if usable(r) {
				longest = max(longest, r.SeqLen)
			}
		}
		var front []point
		all := join(rs, func(r record.Record) string { return r.Family + "/" + curveOf(r.Pipeline) }, look, func(r record.Record) (point, bool) {
			if !usable(r) || r.SeqLen != longest {
				return point{}, false
			}
			e := r.Error.RelL2
			p := point{x: *ofFull(r), y: e, lo: e, hi: e}
			if !isBound(r) {
				front = append(front, p)
			}
			return p, true
		})
		if len(all) == 0 {
			continue
		}
		p := panel{title: panelTitle(rs[0], lengthText(longest)+" tokens, "), series: all, front: front}
		p.x = axis{label: "cache, share of full", ticks: decadeTicks{text: percentText}}
		p.y.label = "rel_l2 error of attention"
		f.panels = append(f.panels, p)
	}
	if len(f.panels) == 0 {
		return f
	}
	floor, clamped := errorAxes(f.panels)
	var shares []float64
	for _, p := range f.panels {
		shares = append(shares, p.xs()...)
	}
	for i := range f.panels {
		p := &f.panels[i]
		p.x.low, p.x.high = logRange(shares)
		for k := range p.front {
			p.front[k].y = max(p.front[k].y, floor)
		}
		p.front = pareto(p.front)
	}
	f.title = "Attention-output error against cache size, at each trace's longest length"
	f.captions = captions(records, "Lines join the budgets of one method. On the Pareto front no other pipeline has both a smaller cache and less error; bounds do not count.",
		captionEqual, clamped, noteLocal, retrainedNote(records), windowsNote(records))
	return f
}

// overLengths makes one panel a trace, without a range of y; value says no where a record has none.
func overLengths(records []record.Record, look map[string]style, label string, value func(record.Record) (y, lo, hi float64, ok bool)) figure {
	var f figure
	for _, rs := range traceRecords(records) {
		all := join(rs, func(r record.Record) string { return r.Pipeline }, look, func(r record.Record) (point, bool) {
			y, lo, hi, ok := value(r)
			return point{x: float64(r.SeqLen), y: y, lo: lo, hi: hi}, ok
		})
		if len(all) == 0 {
			continue
		}
		p := panel{title: panelTitle(rs[0], ""), series: all}
		p.x = axis{label: "sequence length, tokens", ticks: lengths(all)}
		p.x.low, p.x.high = logRange(p.xs())
		p.y.label = label
		f.panels = append(f.panels, p)
	}
	return f
}

// ownRanges gives each panel the range of y that its values need.
func ownRanges(panels []panel, ticks plot.Ticker) {
	for i := range panels {
		y := &panels[i].y
		y.low, y.high = logRange(panels[i].ys())
		y.ticks = ticks
	}
}

// errorAxes gives all panels one range of errors, so that traces compare, and draws errors below its
// floor at the floor. The caption says so, and is "" where there were none.
func errorAxes(panels []panel) (floor float64, caption string) {
	floor = errorAxisFloor(panels)
	top, clamped := 0.0, false
	for _, p := range panels {
		for _, s := range p.series {
			for i := range s.points {
				pt := &s.points[i]
				clamped = clamped || pt.y < floor
				pt.y, pt.lo, pt.hi = max(pt.y, floor), max(pt.lo, floor), max(pt.hi, floor)
				top = max(top, pt.hi)
			}
		}
	}
	for i := range panels {
		y := &panels[i].y
		y.low, y.high = logRange([]float64{floor, top})
		ticks := decadeTicks{text: percentText}
		if clamped {
			ticks.floor = floor
		}
		y.ticks = ticks
	}
	if !clamped {
		return floor, ""
	}
	return floor, fmt.Sprintf("Errors below %s, such as the rounding of the full cache to f16, are drawn at the bottom.", tickText(percentText(floor)))
}

// errorAxisFloor is the power of ten below the least error that is not under errorFloor. That of
// pipelines that reduce nothing is rounding and would stretch the axis: it counts only where there is no
// other.
func errorAxisFloor(panels []panel) float64 {
	least, leastOther := math.Inf(1), math.Inf(1)
	for _, p := range panels {
		for _, s := range p.series {
			for _, pt := range s.points {
				for _, v := range []float64{pt.y, pt.lo, pt.hi} {
					switch {
					case v < errorFloor:
					case pt.other:
						leastOther = min(leastOther, v)
					default:
						least = min(least, v)
					}
				}
			}
		}
	}
	if math.IsInf(least, 1) {
		least = leastOther
	}
	if math.IsInf(least, 1) {
		return errorFloor
	}
	return max(errorFloor, math.Pow(10, math.Floor(math.Log10(least))))
}

// panelTitle says whose trace a panel shows.
func panelTitle(r record.Record, length string) string {
	return oneLine(fmt.Sprintf("%s, %s%d of %d layers", traceText(r), length, len(r.Layers), r.NumLayers))
}

// captions are the lines below a picture, without empty ones.
func captions(records []record.Record, lines ...string) []string {
	if slices.ContainsFunc(records, isBound) {
		lines = append(lines, captionBounds)
	}
	return slices.DeleteFunc(lines, func(s string) bool { return s == "" })
}

func windowsNote(records []record.Record) string {
	if slices.ContainsFunc(records, hasWindows) {
		return noteWindows
	}
	return ""
}

func retrainedNote(records []record.Record) string {
	if slices.ContainsFunc(records, isRetrained) {
		return noteRetrained
	}
	return ""
}
