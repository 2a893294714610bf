package report

import (
	"image/color"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	multipleHeight = 1.75 * vg.Inch // of the axes of one of the small multiples
	maxKeyWidth    = 3 * vg.Inch    // of the names beside a row of them
	rowGap         = vg.Length(8)   // between rows
	maxColumns     = 6              // traces side by side
)

// multipleWidth is the width of one of n small multiples side by side.
func multipleWidth(n int) vg.Length {
	switch {
	case n == 1:
		return 5.5 * vg.Inch
	case n <= 3:
		return 3.7 * vg.Inch
	case n == 4:
		return 3 * vg.Inch
	}
	return 2.5 * vg.Inch
}

// keyWidth is the width of the widest of the rows' legends.
func (f figure) keyWidth() vg.Length {
	var w vg.Length
	title := rowTitleStyle()
	for _, r := range f.rows {
		w = max(w, newLegend(r.key, maxKeyWidth).width, title.Width(r.title)+1)
	}
	return min(w, maxKeyWidth)
}

func rowTitleStyle() text.Style { return textStyle(9.5, true, color.Gray{0x40}) }

// height is the height of a row, and of what stands above and below its axes.
func (r row) height() vg.Length {
	return headHeight(r.panels) + multipleHeight + footHeight(r.panels)
}

// rowsHeight is the height of all rows.
func (f figure) rowsHeight() vg.Length {
	h := rowGap * vg.Length(len(f.rows)-1)
	for _, r := range f.rows {
		h += r.height()
	}
	return h
}

// drawRows draws small multiples: a row a batch, a column a trace; the batch's name and legend stand at the row's end.
func (f figure) drawRows(c draw.Canvas, m measures) {
	title := rowTitleStyle()
	for i, r := range f.rows {
		if i > 0 {
			c.Max.Y -= rowGap
		}
		area := c
		area.Min.Y = area.Max.Y - r.height()
		area.Max.X = area.Min.X + m.inner - m.keyW - panelGap
		key := area
		key.Min.X, key.Max.X = area.Max.X+panelGap, c.Max.X
		key.Max.Y -= headHeight(r.panels)
		c.FillText(title, vg.Point{X: key.Min.X, Y: key.Max.Y}, shorten(title, r.title, m.keyW))
		key.Max.Y -= lineHeight(title)
		names := newLegend(r.key, m.keyW)
		names.rows = len(names.entries) // one below the other
		names.draw(key)
		drawPanels(area, r.panels, m.across, 1)
		c.Max.Y = area.Min.Y
	}
}
