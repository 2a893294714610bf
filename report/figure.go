package report

import (
	"image/color"
	"slices"
	"strings"

	stdfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// The measures of a picture.
const (
	margin    = vg.Length(14)
	gutter    = vg.Length(12) // between title, panels, legend and captions
	panelGap  = vg.Length(16)
	maxAcross = 3  // panels side by side
	maxPanels = 12 // more would make a picture that nobody can take in
)

// panelSize is the size of one panel of n: a picture of few panels has larger ones.
func panelSize(n int) (w, h vg.Length) {
	switch n {
	case 1:
		return 7.2 * vg.Inch, 4.2 * vg.Inch
	case 2:
		return 5.2 * vg.Inch, 3.7 * vg.Inch
	}
	return 4.3 * vg.Inch, 3.4 * vg.Inch
}

// sans is a font that is built in, so that pictures are the same on every machine.
func sans(size float64, bold bool) font.Font {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Points(size)}
	if bold {
		f.Weight = stdfont.WeightBold
	}
	return f
}

// textStyle is black or grey text whose first line hangs from where it is drawn.
func textStyle(size float64, bold bool, c color.Color) text.Style {
	return text.Style{Color: c, Font: sans(size, bold), YAlign: draw.YTop, Handler: plot.DefaultTextHandler}
}

// measures are those of a figure's parts.
type measures struct {
	across, down   int
	panelW, panelH vg.Length // of a panel with its title
	keyW           vg.Length // of the legends beside small multiples
	inner, height  vg.Length // of all panels, with what is beside and below them
}

// measure lays out the panels, before anything is drawn.
func (f figure) measure() measures {
	m := measures{across: min(len(f.panels), maxAcross)}
	m.panelW, m.panelH = panelSize(len(f.panels))
	if f.rows != nil {
		m.across = len(f.panels)
		m.panelW = multipleWidth(m.across)
	}
	m.down = (len(f.panels) + m.across - 1) / m.across
	m.inner = m.panelW*vg.Length(m.across) + panelGap*vg.Length(m.across-1)
	switch {
	case f.rows != nil:
		m.keyW = f.keyWidth()
		m.inner += panelGap + m.keyW
		m.height = f.rowsHeight()
	case f.bars != nil:
		m.panelH *= 1.25 // room for names
		for i := range m.down {
			m.height += m.panelH + gutter + barsHeight(f.bars[i*m.across:min((i+1)*m.across, len(f.bars))])
		}
		m.height += panelGap * vg.Length(m.down-1)
	default:
		m.height = m.panelH*vg.Length(m.down) + panelGap*vg.Length(m.down-1)
	}
	return m
}

// draw draws the picture in a format: title, panels, legend and captions below each other, so that none covers data.
func (f figure) draw(format string) ([]byte, error) {
	title := textStyle(13, true, color.Black)
	caption := textStyle(8.5, false, color.Gray{0x40})
	m := f.measure()
	titleLines := wrap(title, f.title, m.inner)
	var captionLines []string
	for _, c := range f.captions {
		captionLines = append(captionLines, wrap(caption, c, m.inner)...)
	}
	key := newLegend(f.legendEntries(), m.inner)
	height := 2*margin + textHeight(title, titleLines) + gutter + m.height + gutter + key.height() + gutter + textHeight(caption, captionLines)

	sheet := newSheet(format, m.inner+2*margin, height)
	c := draw.Crop(draw.New(sheet), margin, -margin, margin, -margin)
	drawLines(c, title, titleLines)
	c.Max.Y -= textHeight(title, titleLines) + gutter
	area := c
	area.Min.Y = area.Max.Y - m.height
	switch {
	case f.rows != nil:
		f.drawRows(area, m)
	case f.bars != nil:
		f.drawOverBars(area, m)
	default:
		drawPanels(area, f.panels, m.across, m.down)
	}
	c.Max.Y = area.Min.Y - gutter
	key.draw(c)
	c.Max.Y -= key.height() + gutter
	drawLines(c, caption, captionLines)
	return sheet.encode()
}

// drawPanels draws the panels in rows, their axes aligned. Title and label of y stand above the axes,
// the label of x below.
func drawPanels(c draw.Canvas, panels []panel, across, down int) {
	title, label := panelTitleStyle(), textStyle(9, false, color.Gray{0x40})
	above, below := headHeight(panels), footHeight(panels)
	tiles := draw.Tiles{Cols: across, Rows: down, PadX: panelGap, PadY: panelGap}
	var plots []*plot.Plot
	var inside []draw.Canvas
	var axes [4]vg.Length // the most that axes take of a canvas: left, right, bottom, top
	for i, p := range panels {
		plots = append(plots, p.plot())
		inside = append(inside, draw.Crop(tiles.At(c, i%across, i/across), 0, 0, below, -above))
		for k, taken := range axesOf(plots[i], inside[i]) {
			axes[k] = max(axes[k], taken)
		}
	}
	for i, p := range panels {
		in := inside[i]
		own := axesOf(plots[i], in)
		plots[i].Draw(draw.Crop(in, axes[0]-own[0], own[1]-axes[1], axes[2]-own[2], own[3]-axes[3]))
		top := in.Max.Y + above
		c.FillText(title, vg.Point{X: in.Min.X, Y: top}, shorten(title, p.title, in.Max.X-in.Min.X))
		c.FillText(label, vg.Point{X: in.Min.X, Y: top - 1.4*title.Font.Size}, p.y.label)
		label.XAlign = draw.XRight
		c.FillText(label, vg.Point{X: in.Max.X - axes[1], Y: in.Min.Y - 0.2*label.Font.Size}, p.x.label)
		label.XAlign = draw.XLeft
	}
}

func panelTitleStyle() text.Style { return textStyle(10, true, color.Black) }

// headHeight is the room for titles and labels of y above axes, none where all are empty.
func headHeight(panels []panel) vg.Length {
	if !slices.ContainsFunc(panels, func(p panel) bool { return p.title != "" || p.y.label != "" }) {
		return 0
	}
	return vg.Points(1.4*10 + 1.6*9)
}

// footHeight is the room for labels of x below axes.
func footHeight(panels []panel) vg.Length {
	if !slices.ContainsFunc(panels, func(p panel) bool { return p.x.label != "" }) {
		return 0
	}
	return vg.Points(1.5 * 9)
}

// axesOf is what lies between the edges of a canvas and the data: left, right, bottom, top.
func axesOf(p *plot.Plot, c draw.Canvas) [4]vg.Length {
	data := p.DataCanvas(c)
	return [4]vg.Length{data.Min.X - c.Min.X, c.Max.X - data.Max.X, data.Min.Y - c.Min.Y, c.Max.Y - data.Max.Y}
}

// wrap breaks text into lines that are no wider than width; a word that is wider is cut.
func wrap(sty text.Style, s string, width vg.Length) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		word = shorten(sty, word, width)
		if line != "" && sty.Width(line+" "+word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// lineHeight is the distance between two lines.
func lineHeight(sty text.Style) vg.Length { return 1.3 * sty.Font.Size }

func textHeight(sty text.Style, lines []string) vg.Length {
	return lineHeight(sty) * vg.Length(len(lines))
}

// drawLines draws lines from the top left corner of c down.
func drawLines(c draw.Canvas, sty text.Style, lines []string) {
	for i, line := range lines {
		c.FillText(sty, vg.Point{X: c.Min.X, Y: c.Max.Y - lineHeight(sty)*vg.Length(i)}, line)
	}
}
