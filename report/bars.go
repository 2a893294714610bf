package report

import (
	"cmp"
	"fmt"
	"image/color"
	"slices"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"kvgauge/sim/record"
)

// chart is a list of pipelines by their errors: a bar each, the least error on top.
type chart struct {
	bars []bar
	more int // pipelines that are left out
}

// bar is one pipeline of a chart.
type bar struct {
	name         string
	err, lo, hi  float64 // lo and hi are both err where there is no interval
	share        float64 // of full's cache
	style        style
	bound, front bool // front: smaller than full and not beaten
}

const (
	maxBars   = 60 // more would be lines that nobody reads; the front always stays
	barPitch  = vg.Length(11.5)
	barWidth  = vg.Length(6.5)
	barGap    = vg.Length(5)  // between name, bar and value
	barsTitle = vg.Length(17) // height of the line above the bars
	barsAxis  = vg.Length(26) // height of ticks and label below them

	// zeroError is the error of an output of zeros. What is worse says nothing by how much.
	zeroError = 1.0
)

// frontTint is the ground of bars that are on the front.
var frontTint = color.RGBA{0xFB, 0xF7, 0xCC, 0xFF}

// newBar is the bar of a record with an error and a cache.
func newBar(r record.Record, s style) bar {
	e := r.Error.RelL2
	b := bar{name: oneLine(r.Pipeline), err: e, lo: e, hi: e, share: *ofFull(r), style: s, bound: isBound(r), front: inFront(r)}
	if r.Error.RelL2Lo != nil && r.Error.RelL2Hi != nil {
		b.lo, b.hi = *r.Error.RelL2Lo, *r.Error.RelL2Hi
	}
	return b
}

// newChart sorts bars and leaves the mark of those alone that are on the front, whose errors are drawn no lower than a
// floor. Of too many bars it drops the largest errors.
func newChart(bars []bar, front []point, floor float64) chart {
	c := chart{bars: bars}
	for i := range bars {
		b := &bars[i]
		b.front = b.front && slices.ContainsFunc(front, func(f point) bool { return f.x == b.share && f.y == max(b.err, floor) })
	}
	slices.SortStableFunc(c.bars, func(a, b bar) int { return cmp.Or(cmp.Compare(a.err, b.err), cmp.Compare(a.share, b.share)) })
	for i := len(c.bars) - 1; i >= 0 && len(c.bars) > maxBars; i-- {
		if !c.bars[i].front {
			c.bars = slices.Delete(c.bars, i, i+1)
			c.more++
		}
	}
	return c
}

// top is the end of the axis.
func (c chart) top() float64 {
	top := 0.0
	for _, b := range c.bars {
		top = max(top, b.err, b.hi)
	}
	return min(max(top, errorFloor), zeroError)
}

// barsHeight is the height of the highest of some charts.
func barsHeight(charts []chart) vg.Length {
	most := 0
	for _, c := range charts {
		most = max(most, len(c.bars))
	}
	return barsTitle + barPitch*vg.Length(most) + barsAxis
}

// drawOverBars draws lines of panels, the charts of each line below them.
func (f figure) drawOverBars(c draw.Canvas, m measures) {
	for i := range m.down {
		from, to := i*m.across, min((i+1)*m.across, len(f.panels))
		line := c
		line.Min.Y = c.Max.Y - m.panelH
		line.Max.X = c.Min.X + m.panelW*vg.Length(to-from) + panelGap*vg.Length(to-from-1)
		drawPanels(line, f.panels[from:to], to-from, 1)
		height := barsHeight(f.bars[from:to])
		for k, chart := range f.bars[from:to] {
			area := line
			area.Max.Y = line.Min.Y - gutter
			area.Min.Y = area.Max.Y - height
			area.Min.X += (m.panelW + panelGap) * vg.Length(k)
			area.Max.X = area.Min.X + m.panelW
			chart.draw(area)
		}
		c.Max.Y = line.Min.Y - gutter - height - panelGap
	}
}

// barNotes say what the charts do not show.
func (f figure) barNotes() []string {
	var cut, more bool
	for _, c := range f.bars {
		more = more || c.more > 0
		cut = cut || slices.ContainsFunc(c.bars, func(b bar) bool { return b.err > c.top() })
	}
	var notes []string
	if cut {
		notes = append(notes, fmt.Sprintf("Bars beyond %s, the error of an output of zeros, are cut.", percentText(zeroError)))
	}
	if more {
		notes = append(notes, fmt.Sprintf("Of more than %d pipelines those with the largest errors have no bar, unless they are on the front.", maxBars))
	}
	return notes
}

// draw draws the chart from the top of c: names, bars and their values.
func (c chart) draw(on draw.Canvas) {
	label := textStyle(8, false, color.Black)
	label.YAlign = draw.YCenter
	bold := label
	bold.Font = sans(8, true)
	heading := textStyle(9, false, color.Gray{0x40})

	names, values := c.names(label, bold, 0.45*(on.Max.X-on.Min.X)), vg.Length(0)
	const share = vg.Length(42) // width of the column of shares
	for _, b := range c.bars {
		values = max(values, bold.Width(percentText(b.err)))
	}
	left := on.Min.X
	for i, b := range c.bars {
		left = max(left, on.Min.X+b.font(label, bold).Width(names[i])+barGap)
	}
	scale := (on.Max.X - share - values - barGap - left) / vg.Length(c.top())
	x := func(e float64) vg.Length { return left + scale*vg.Length(min(e, c.top())) }

	on.FillText(heading, vg.Point{X: on.Min.X, Y: on.Max.Y}, "rel_l2 error of attention")
	right := heading
	right.XAlign = draw.XRight
	on.FillText(right, vg.Point{X: on.Max.X - 2, Y: on.Max.Y}, "cache, share of full")
	top := on.Max.Y - barsTitle
	bottom := top - barPitch*vg.Length(len(c.bars))
	c.drawAxis(on, x, top, bottom)
	for i, b := range c.bars {
		middle := top - barPitch*(vg.Length(i)+0.5)
		if b.front {
			fill(on, frontTint, on.Min.X-2, middle-barPitch/2+0.5, on.Max.X, middle+barPitch/2-0.5)
			fill(on, frontLine.Color, on.Min.X-5, middle-barPitch/2+0.5, on.Min.X-2, middle+barPitch/2-0.5)
		}
		sty := b.font(label, bold)
		sty.XAlign = draw.XRight
		on.FillText(sty, vg.Point{X: left - barGap, Y: middle}, names[i])
		fill(on, b.style.marker.Color, left, middle-barWidth/2, x(b.err), middle+barWidth/2)
		end := x(b.err)
		if b.lo < b.hi {
			whisker := draw.LineStyle{Color: color.Black, Width: vg.Points(0.8)}
			on.StrokeLine2(whisker, x(b.lo), middle, x(b.hi), middle)
			end = x(b.hi)
		}
		if b.err > c.top() { // cut: a gap near its end says so
			cut := draw.LineStyle{Color: color.White, Width: vg.Points(2)}
			on.StrokeLine2(cut, end-9, middle-barWidth/2-1, end-6, middle+barWidth/2+1)
		}
		sty.XAlign = draw.XLeft
		on.FillText(sty, vg.Point{X: end + barGap, Y: middle}, percentText(b.err))
		sty.XAlign = draw.XRight
		on.FillText(sty, vg.Point{X: on.Max.X - 2, Y: middle}, percentText(b.share))
	}
	if c.more > 0 {
		on.FillText(heading, vg.Point{X: on.Min.X, Y: bottom - barsAxis/2}, fmt.Sprintf("%d more", c.more))
	}
}

// drawAxis draws the grid of the errors and its labels.
func (c chart) drawAxis(on draw.Canvas, x func(float64) vg.Length, top, bottom vg.Length) {
	label := textStyle(8, false, color.Gray{0x40})
	label.XAlign = draw.XCenter
	next := x(0) - 1
	for _, t := range linearTicks(0, 100*c.top()) {
		at := x(t.Value / 100)
		on.StrokeLine2(gridLine, at, top, at, bottom)
		text := t.Label + " %"
		if half := label.Width(text) / 2; at-half > next || t.Value == 0 {
			on.FillText(label, vg.Point{X: at, Y: bottom - 3}, text)
			next = at + half + 3
		}
	}
	on.StrokeLine2(draw.LineStyle{Color: color.Black, Width: vg.Points(0.5)}, x(0), top, x(0), bottom)
}

// names are those of the bars, cut where they are wider than width.
func (c chart) names(label, bold text.Style, width vg.Length) []string {
	var names []string
	for _, b := range c.bars {
		names = append(names, shorten(b.font(label, bold), b.name, width))
	}
	return names
}

// font is bold for pipelines on the front and grey for bounds.
func (b bar) font(label, bold text.Style) text.Style {
	switch {
	case b.front:
		return bold
	case b.bound:
		label.Color = color.Gray{0x60}
	}
	return label
}

// fill fills a rectangle.
func fill(on draw.Canvas, c color.Color, left, bottom, right, top vg.Length) {
	on.FillPolygon(c, []vg.Point{{X: left, Y: bottom}, {X: right, Y: bottom}, {X: right, Y: top}, {X: left, Y: top}})
}
