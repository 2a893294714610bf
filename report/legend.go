package report

import (
	"image/color"
	"slices"
	"unicode/utf8"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// legend is a strip that names the curves of a figure, or of one panel, in columns.
type legend struct {
	entries []style
	width   vg.Length // of one column
	rows    int
	text    text.Style
}

const (
	sampleWidth = vg.Length(30) // of the line and marker beside a name
	columnGap   = vg.Length(14)
	keyInset    = vg.Length(5) // of a panel's own legend
)

// newLegend names styles in as few rows as fit into width.
func newLegend(entries []style, width vg.Length) legend {
	l := legend{text: textStyle(9, false, color.Black), entries: slices.Clone(entries)}
	l.text.YAlign = draw.YCenter
	if len(entries) == 0 {
		return l
	}
	for i, e := range l.entries {
		e.name = shorten(l.text, e.name, width-sampleWidth-columnGap)
		l.width = max(l.width, sampleWidth+columnGap+l.text.Width(e.name)+vg.Points(5))
		l.entries[i] = e
	}
	columns := max(1, int((width+columnGap)/l.width))
	l.rows = (len(l.entries) + columns - 1) / columns
	return l
}

// legendEntries are the styles that the figure's legend names.
func (f figure) legendEntries() []style {
	if f.rows != nil {
		return f.commonStyles()
	}
	if slices.ContainsFunc(f.panels, func(p panel) bool { return len(p.front) > 0 }) {
		return append(slices.Clone(f.order), style{name: "Pareto front", line: frontLine})
	}
	return f.order
}

func (l legend) height() vg.Length { return vg.Length(l.rows) * l.rowHeight() }

func (l legend) rowHeight() vg.Length { return 1.5 * l.text.Font.Size }

// draw fills the columns one after the other, from the top left corner of c.
func (l legend) draw(c draw.Canvas) {
	for i, e := range l.entries {
		left := c.Min.X + l.width*vg.Length(i/l.rows)
		middle := c.Max.Y - l.rowHeight()*(vg.Length(i%l.rows)+0.5)
		c.StrokeLine2(e.line, left, middle, left+sampleWidth, middle)
		c.DrawGlyphNoClip(e.marker, vg.Point{X: left + sampleWidth/2, Y: middle})
		c.FillText(l.text, vg.Point{X: left + sampleWidth + vg.Points(5), Y: middle}, e.name)
	}
}

// shorten cuts a name that is wider than width and ends it with an ellipsis.
func shorten(sty text.Style, name string, width vg.Length) string {
	if sty.Width(name) <= width {
		return name
	}
	for name != "" && sty.Width(name+"…") > width {
		_, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
	}
	return name + "…"
}
