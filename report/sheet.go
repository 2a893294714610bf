package report

import (
	"bytes"
	"image/color"
	"image/png"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// dpi is the resolution of PNG pictures.
const dpi = 192

// PlotFormats are the formats of pictures, the default first; they are the endings of the files too.
func PlotFormats() []string { return []string{"png", "svg"} }

// sheet is what a picture is drawn on.
type sheet struct {
	vg.CanvasSizer
	encode func() ([]byte, error)
}

// newSheet is an empty white sheet of a size, in one of PlotFormats.
func newSheet(format string, w, h vg.Length) sheet {
	if format == "svg" {
		c := vgsvg.NewWith(vgsvg.UseWH(w, h))
		c.SetColor(color.White) // else pages that are dark show through
		c.Fill(vg.Rectangle{Max: vg.Point{X: w, Y: h}}.Path())
		return sheet{c, func() ([]byte, error) { return encodeSVG(c) }}
	}
	c := vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(dpi))
	return sheet{c, func() ([]byte, error) {
		var b bytes.Buffer
		// The default compression takes most of the time of a picture and makes it a fifth smaller.
		err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, c.Image())
		return b.Bytes(), err
	}}
}

// encodeSVG writes the picture as SVG. Its letters are those of the reader's machine: where it lacks Liberation Sans,
// Arial and Helvetica have the same widths. The library escapes names, but lets through what XML cannot hold.
func encodeSVG(c *vgsvg.Canvas) ([]byte, error) {
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, err
	}
	const family = "font-family:Liberation Sans;"
	return []byte(xmlText(strings.ReplaceAll(b.String(), family, "font-family:'Liberation Sans',Arial,Helvetica,sans-serif;"))), nil
}
