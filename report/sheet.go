package report

import (
	"bytes"
	"fmt"
	"image/color"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2/maybe"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// dpi is the resolution of PNG pictures.
const dpi = 192

// PlotFormats are the formats of pictures, the default first; they are the endings of the files too.
func PlotFormats() []string { return []string{"png", "svg"} }

// PlotFormatOf is the one of PlotFormats that a file's name ends with.
func PlotFormatOf(path string) (string, error) {
	for _, format := range PlotFormats() {
		if strings.EqualFold(filepath.Ext(path), "."+format) {
			return format, nil
		}
	}
	return "", fmt.Errorf("want a name that ends with .%s", strings.Join(PlotFormats(), " or ."))
}

// writePlot draws a figure into a file, whole or not at all, in the format that its name ends with.
func writePlot(path string, f figure) error {
	format, err := PlotFormatOf(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	data, err := f.draw(format)
	if err != nil {
		return err
	}
	return maybe.WriteFile(path, data, 0o666)
}

// sheet is what a picture is drawn on.
type sheet struct {
	vg.CanvasWriterTo
	finish func([]byte) []byte // what its encoder leaves to do
}

// newSheet is an empty white sheet of a size, in one of PlotFormats.
func newSheet(format string, w, h vg.Length) sheet {
	if format == "svg" {
		c := vgsvg.NewWith(vgsvg.UseWH(w, h))
		c.SetColor(color.White) // else pages that are dark show through
		c.Fill(vg.Rectangle{Max: vg.Point{X: w, Y: h}}.Path())
		return sheet{c, finishSVG}
	}
	c := vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(dpi))
	return sheet{vgimg.PngCanvas{Canvas: c}, func(file []byte) []byte { return file }}
}

// encode is the picture as a file.
func (s sheet) encode() ([]byte, error) {
	var b bytes.Buffer
	_, err := s.WriteTo(&b)
	return s.finish(b.Bytes()), err
}

// finishSVG names fonts: letters are those of the reader's machine, and where it lacks Liberation Sans, Arial and Helvetica
// have the same widths. The encoder escapes names, but lets through what XML cannot hold.
func finishSVG(file []byte) []byte {
	const family = "font-family:Liberation Sans;"
	return []byte(xmlText(strings.ReplaceAll(string(file), family, "font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")))
}
