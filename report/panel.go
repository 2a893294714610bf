package report

import (
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

var (
	gridLine     = draw.LineStyle{Color: color.Gray{0xE4}, Width: vg.Points(0.5)}
	backdropLine = draw.LineStyle{Color: color.Gray{0xD8}, Width: vg.Points(0.7)}
	frontLine    = draw.LineStyle{Color: color.RGBA{0xF0, 0xE4, 0x42, 0xFF}, Width: vg.Points(3)} // Okabe and Ito's yellow
)

// plot makes the panel ready to draw, without title and labels of axes, for which gonum leaves too much
// room where axes are logarithmic. Its ranges are set, which gonum's logarithmic scale needs: it panics on
// what is not positive.
func (p panel) plot() *plot.Plot {
	pl := plot.New()
	for _, a := range []struct {
		from axis
		to   *plot.Axis
	}{{p.x, &pl.X}, {p.y, &pl.Y}} {
		a.to.Tick.Label.Font = sans(8.5, false)
		a.to.Tick.Length = vg.Points(5)
		a.to.Tick.Marker = a.from.ticks
		if !a.from.linear {
			a.to.Scale = plot.LogScale{}
		}
		a.to.Min, a.to.Max = a.from.low, a.from.high
		a.to.Padding = 0
	}
	pl.Add(p)
	return pl
}

// Plot implements plot.Plotter: the grid, the front, the lines and on top the markers, the names and the key.
func (p panel) Plot(c draw.Canvas, pl *plot.Plot) {
	x, y := pl.Transforms(&c)
	for _, t := range pl.X.Tick.Marker.Ticks(pl.X.Min, pl.X.Max) {
		if t.Label != "" {
			c.StrokeLine2(gridLine, x(t.Value), c.Min.Y, x(t.Value), c.Max.Y)
		}
	}
	for _, t := range pl.Y.Tick.Marker.Ticks(pl.Y.Min, pl.Y.Max) {
		if t.Label != "" {
			c.StrokeLine2(gridLine, c.Min.X, y(t.Value), c.Max.X, y(t.Value))
		}
	}
	for _, s := range p.backdrop {
		line := s.line(x, y)
		c.StrokeLines(backdropLine, line)
		if len(line) == 1 {
			c.DrawGlyphNoClip(draw.GlyphStyle{Color: backdropLine.Color, Radius: vg.Points(1.5), Shape: glyph{outline: circle}}, line[0])
		}
	}
	c.StrokeLines(frontLine, stairs(p.front, x, y))
	for _, s := range p.series {
		c.StrokeLines(s.style.line, s.line(x, y))
	}
	var points []point
	for _, s := range p.series {
		points = append(points, s.points...)
	}
	at := p.place(points, x, y, c.Max.X-c.Min.X)
	for i, pt := range points {
		if pt.lo < pt.hi && !pt.bound {
			bar := draw.LineStyle{Color: pt.style.line.Color, Width: vg.Points(0.9)}
			c.StrokeLine2(bar, at[i].X, y(max(pt.lo, pl.Y.Min)), at[i].X, y(min(pt.hi, pl.Y.Max)))
			for _, end := range []float64{pt.lo, pt.hi} {
				if pl.Y.Min < end && end < pl.Y.Max {
					c.StrokeLine2(bar, at[i].X-vg.Points(1.8), y(end), at[i].X+vg.Points(1.8), y(end))
				}
			}
		}
	}
	var names []pointName
	if p.named {
		names = p.placeNames(c, points, at, x, y)
	}
	for _, n := range names {
		c.StrokeLines(nameLine, n.leader)
	}
	for i, pt := range points {
		c.DrawGlyphNoClip(pt.style.marker, at[i])
	}
	for _, n := range names {
		c.FillText(n.style, n.at, n.text)
	}
	if len(p.key) > 0 {
		inner := draw.Crop(c, keyInset, -keyInset, 0, -keyInset)
		newLegend(p.key, inner.Max.X-inner.Min.X).draw(inner)
	}
}

// line are the corners of the line that joins the points.
func (s series) line(x, y func(float64) vg.Length) []vg.Point {
	line := make([]vg.Point, len(s.points))
	for i, pt := range s.points {
		line[i] = vg.Point{X: x(pt.x), Y: y(pt.y)}
	}
	return line
}

// place returns where the markers of points stand in a panel of that width.
func (p panel) place(points []point, x, y func(float64) vg.Length, width vg.Length) []vg.Point {
	switch {
	case p.exact:
	case p.oneX():
		return abreast(points, x, y, width)
	default:
		return spread(points, x, y, p.between(x))
	}
	at := make([]vg.Point, len(points))
	for i, pt := range points {
		at[i] = vg.Point{X: x(pt.x), Y: y(pt.y)}
	}
	return at
}

// stairs are the corners of a front: along each point's y until the next point is reached.
func stairs(front []point, x, y func(float64) vg.Length) []vg.Point {
	var line []vg.Point
	for i, p := range front {
		if i > 0 {
			line = append(line, vg.Point{X: x(p.x), Y: y(front[i-1].y)})
		}
		line = append(line, vg.Point{X: x(p.x), Y: y(p.y)})
	}
	return line
}

// between is the room that markers side by side may take: without limit, or so much that they stay apart from those of
// the next length.
func (p panel) between(x func(float64) vg.Length) vg.Length {
	lengths, ok := p.x.ticks.(lengthTicks)
	room := vg.Length(math.Inf(1))
	for i := 1; ok && i < len(lengths); i++ {
		room = min(room, 0.6*(x(float64(lengths[i]))-x(float64(lengths[i-1]))))
	}
	return room
}

// spread places markers: at their points, but those that would hide each other side by side, in no more than room.
func spread(points []point, x, y func(float64) vg.Length, room vg.Length) []vg.Point {
	const nearX, nearY, step = 2.5, 5, 5.5 // points of the canvas
	widest := min(30, float64(room))
	at := make([]vg.Point, len(points))
	placed := make([]bool, len(points))
	for i, p := range points {
		if placed[i] {
			continue
		}
		home := vg.Point{X: x(p.x), Y: y(p.y)}
		var together []int
		for j := i; j < len(points); j++ {
			dx, dy := x(points[j].x)-home.X, y(points[j].y)-home.Y
			if !placed[j] && max(dx, -dx) < nearX && max(dy, -dy) < nearY {
				together = append(together, j)
			}
		}
		apart := step
		if n := len(together); n > 1 {
			apart = min(step, widest/float64(n-1))
		}
		for k, j := range together {
			shift := apart * (float64(k) - float64(len(together)-1)/2)
			at[j] = vg.Point{X: x(points[j].x) + vg.Points(shift), Y: y(points[j].y)}
			placed[j] = true
		}
	}
	return at
}

// oneX says whether all points have the same x, so that no line joins any. A row of small multiples may have none of its
// own on a trace.
func (p panel) oneX() bool {
	xs := append(p.xs(), panel{series: p.backdrop}.xs()...)
	return len(xs) > 0 && slices.Min(xs) == slices.Max(xs)
}

// abreast places the markers of a panel without lines side by side, in their order.
func abreast(points []point, x, y func(float64) vg.Length, width vg.Length) []vg.Point {
	step := min(vg.Points(22), 0.7*width/vg.Length(len(points)))
	at := make([]vg.Point, len(points))
	for i, p := range points {
		at[i] = vg.Point{X: x(p.x) + step*(vg.Length(i)-vg.Length(len(points)-1)/2), Y: y(p.y)}
	}
	return at
}
