package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"

	"kvgauge/sim/record"
)

// errorFloor is the least error that pictures resolve. That of the full cache is rounding to f16, far
// below what any reduction does.
const errorFloor = 1e-4

const (
	captionEqual  = "Markers that would hide each other stand side by side; the lines go through the values."
	captionRows   = "Each row shows the pipelines that are named at its end, those of a family by their errors, with full and the bounds; all others are grey behind them. Axes are the same in all rows."
	captionFront  = "Lines join the budgets of one method. On the Pareto front no other pipeline has both a smaller cache and less error; bounds do not count."
	captionCrowd  = "Colours and shapes are families. Pipelines on the front are named in bold, others in grey, where there is room; the bars below name all."
	captionBars   = "Bars: the error of each pipeline, least on top, and the share of full's cache that it holds; yellow is smaller than full and on the Pareto front, black lines are 95 % intervals over windows."
	captionBounds = "Grey and thin are bounds, which are no methods: what a policy could reach, or must beat."
)

// bytesFigure shows the cache over the sequence length; of a crowd its share of full's, so that its panels have one axis.
func bytesFigure(records []record.Record, look map[string]style, crowd bool) figure {
	label := "cache after the last step"
	if crowd {
		label = "cache, share of full"
	}
	f := overLengths(records, look, label, func(r record.Record) (y, lo, hi float64, ok bool) {
		switch {
		case r.CacheBytes == nil || *r.CacheBytes == 0:
			return 0, 0, 0, false
		case !crowd:
			y = float64(*r.CacheBytes)
		case ofFull(r) == nil:
			return 0, 0, 0, false
		default:
			y = *ofFull(r)
		}
		return y, y, y, true
	})
	note := "Payload and metadata of all layers in the trace after the last decode step."
	f.title = "KV cache of the layers that the trace holds, by sequence length"
	if crowd {
		f.title = "KV cache as a share of the full one, by sequence length"
		oneRange(f.panels, decadeTicks{text: percentText})
		note += fullNote(records, "The full cache", byteText, func(r record.Record) *float64 { return record.FigureOf("cache_bytes_full").Value(r) })
	} else {
		ownRanges(f.panels, byteTicks{})
	}
	f.captions = captions(records, captionEqual, note, windowsNote(records))
	return f
}

// latencyFigure shows the time of a step over the sequence length: the ratio to full's step beside it, times the
// median of all of full's steps at that length, so that the curves cannot contradict the ratios; of a crowd the ratio.
func latencyFigure(records []record.Record, look map[string]style, crowd bool) figure {
	steps := fullSteps(records)
	label := "ratio to full x full's step"
	if crowd {
		label = "ratio to full"
	}
	f := overLengths(records, look, label, func(r record.Record) (y, lo, hi float64, ok bool) {
		l := r.Latency
		if l == nil || l.RatioToFull == 0 {
			return 0, 0, 0, false
		}
		full, least := 1.0, 0.0 // the axis cuts intervals
		if !crowd {
			full, least = median(steps[keyOf(r)]), 1
		}
		y, lo, hi = l.RatioToFull*full, l.RatioToFull*full, l.RatioToFull*full
		if l.RatioLo != nil && l.RatioHi != nil {
			lo, hi = max(least, *l.RatioLo*full), *l.RatioHi*full
		}
		return y, lo, hi, true
	})
	f.title = "Latency of one decode step's attention over all layers, by sequence length"
	note := latencyCaption(records, crowd)
	if crowd {
		f.title = "Latency of one decode step's attention over that of the full cache, by sequence length"
		note += oneRange(f.panels, decadeTicks{text: ratioText})
		note += fullNote(records, "Full's step", timeText, func(r record.Record) *float64 {
			if of := steps[keyOf(r)]; of != nil {
				return new(median(of))
			}
			return nil
		})
	} else {
		ownRanges(f.panels, decadeTicks{text: timeText})
	}
	f.captions = captions(records, captionEqual, note)
	return f
}

// fullSteps are the times of all of full's steps in each section.
func fullSteps(records []record.Record) map[sectionKey][]float64 {
	steps := map[sectionKey][]float64{}
	for _, r := range records {
		if ns := fullStepNS(r); ns != nil {
			steps[keyOf(r)] = append(steps[keyOf(r)], *ns)
		}
	}
	return steps
}

// fullNote says what full takes at each trace's longest length, where the picture shows ratios to it alone.
func fullNote(records []record.Record, what string, text func(float64) string, value func(record.Record) *float64) string {
	var parts []string
	for _, rs := range traceRecords(records) {
		longest, most := record.Record{}, (*float64)(nil)
		for _, r := range rs {
			if v := value(r); v != nil && (most == nil || r.SeqLen > longest.SeqLen) {
				longest, most = r, v
			}
		}
		if most != nil {
			parts = append(parts, fmt.Sprintf("%s on %s at %s tokens", text(*most), oneLine(longest.Trace), lengthText(longest.SeqLen)))
		}
	}
	if parts == nil {
		return ""
	}
	return fmt.Sprintf(" %s takes %s.", what, strings.Join(parts, ", "))
}

// latencyCaption says how the time was taken, as the first record that has one knows it.
func latencyCaption(records []record.Record, crowd bool) string {
	i := slices.IndexFunc(records, func(r record.Record) bool { return r.Latency != nil })
	if i < 0 {
		return ""
	}
	l := records[i].Latency
	times := ", times the median of full's steps"
	if crowd {
		times = ""
	}
	return fmt.Sprintf("Median ratio to the full cache's step beside it%s, with %s and kernel %s; bars are the ratio's 95 %% interval. %s",
		times, record.Count(l.Threads, "thread", ""), oneLine(l.Kernel), noteLatency(records))
}

// errorFigure shows the error over the sequence length.
func errorFigure(records []record.Record, look map[string]style, _ bool) figure {
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

// tradeoffFigure shows the error over the cache at each trace's longest length; of a crowd also as bars, which have room
// for all names.
func tradeoffFigure(records []record.Record, look map[string]style, crowd bool) figure {
	var f figure
	var bars [][]bar
	for _, rs := range traceRecords(records) {
		longest := 0
		usable := func(r record.Record) bool { return r.Error != nil && ofFull(r) != nil && *r.CacheBytes > 0 }
		for _, r := range rs {
			if usable(r) {
				longest = max(longest, r.SeqLen)
			}
		}
		var front []point
		var own []bar
		all := join(rs, func(r record.Record) string { return r.Family + "/" + curveOf(r.Pipeline) }, look, func(r record.Record) (point, bool) {
			if !usable(r) || r.SeqLen != longest {
				return point{}, false
			}
			e := r.Error.RelL2
			p := point{x: *ofFull(r), y: e, lo: e, hi: e}
			if !isBound(r) {
				front = append(front, p)
			}
			own = append(own, newBar(r, look[r.Pipeline]))
			return p, true
		})
		if len(all) == 0 {
			continue
		}
		bars = append(bars, own)
		p := panel{title: panelTitle(rs[0], lengthText(longest)+" tokens, "), series: all, front: front, named: crowd}
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
		if crowd {
			f.bars = append(f.bars, newChart(bars[i], p.front, floor))
		}
	}
	f.title = "Attention-output error against cache size, at each trace's longest length"
	lines := []string{captionFront, captionEqual, clamped, noteLocal, retrainedNote(records), windowsNote(records)}
	if crowd {
		lines = slices.Concat([]string{captionCrowd, captionBars}, f.barNotes(), lines)
	}
	f.captions = captions(records, lines...)
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

// oneRange gives all panels one range of y, that of the values: the interval of a noisy one would stretch it. The caption
// says whether any is cut.
func oneRange(panels []panel, ticks plot.Ticker) (caption string) {
	var all []float64
	for _, p := range panels {
		for _, s := range p.series {
			for _, pt := range s.points {
				all = append(all, pt.y)
			}
		}
	}
	low, high := logRange(all)
	for i := range panels {
		y := &panels[i].y
		y.low, y.high, y.ticks = low, high, ticks
		if slices.ContainsFunc(panels[i].ys(), func(v float64) bool { return v < low || v > high }) {
			caption = " Intervals that leave the axes are cut."
		}
	}
	return caption
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
	return oneLine(fmt.Sprintf("%s, %s%d of %s", traceText(r), length, len(r.Layers), layersText(r.NumLayers)))
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
