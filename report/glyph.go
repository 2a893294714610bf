package report

import (
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// glyph is the shape of a marker, filled or white inside.
type glyph struct {
	outline func(at vg.Point, r vg.Length) vg.Path
	hollow  bool
}

// outlines are the shapes, the easiest to tell apart first; all have about the same area.
var outlines = []func(vg.Point, vg.Length) vg.Path{
	circle,
	polygon(1.25, 45, 135, 225, 315), // square
	polygon(1.35, 90, 210, 330),      // triangle up
	polygon(1.3, 0, 90, 180, 270),    // diamond
	polygon(1.35, 30, 150, 270),      // triangle down
	star,
	polygon(1.35, 0, 120, 240), // triangle right
}

// DrawGlyph implements draw.GlyphDrawer.
func (g glyph) DrawGlyph(c *draw.Canvas, sty draw.GlyphStyle, at vg.Point) {
	p := g.outline(at, sty.Radius)
	if g.hollow {
		c.SetColor(color.White)
		c.Fill(p)
		c.SetLineStyle(draw.LineStyle{Color: sty.Color, Width: vg.Points(1.2)})
		c.Stroke(p)
		return
	}
	c.SetColor(sty.Color)
	c.Fill(p)
	// A thin white edge keeps markers apart that overlap.
	c.SetLineStyle(draw.LineStyle{Color: color.White, Width: vg.Points(0.4)})
	c.Stroke(p)
}

func circle(at vg.Point, r vg.Length) vg.Path {
	var p vg.Path
	p.Move(vg.Point{X: at.X + r, Y: at.Y})
	p.Arc(at, r, 0, 2*math.Pi)
	p.Close()
	return p
}

// polygon has corners at angles in degrees, scale times the radius away.
func polygon(scale float64, degrees ...float64) func(vg.Point, vg.Length) vg.Path {
	return func(at vg.Point, r vg.Length) vg.Path {
		var p vg.Path
		for i, d := range degrees {
			corner := vg.Point{
				X: at.X + r*vg.Length(scale*math.Cos(d*math.Pi/180)),
				Y: at.Y + r*vg.Length(scale*math.Sin(d*math.Pi/180)),
			}
			if i == 0 {
				p.Move(corner)
			} else {
				p.Line(corner)
			}
		}
		p.Close()
		return p
	}
}

// star has five points.
func star(at vg.Point, r vg.Length) vg.Path {
	var p vg.Path
	for i := range 10 {
		reach := 1.45
		if i%2 == 1 {
			reach = 0.65
		}
		a := math.Pi/2 + float64(i)*math.Pi/5
		corner := vg.Point{X: at.X + r*vg.Length(reach*math.Cos(a)), Y: at.Y + r*vg.Length(reach*math.Sin(a))}
		if i == 0 {
			p.Move(corner)
		} else {
			p.Line(corner)
		}
	}
	p.Close()
	return p
}
