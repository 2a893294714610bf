package report

import (
	"cmp"
	"image/color"
	"maps"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"kvgauge/sim/record"
)

// style is how a pipeline looks, the same in all panels and pictures.
type style struct {
	name   string
	line   draw.LineStyle
	marker draw.GlyphStyle
}

// The colours of Okabe and Ito (2008), which readers with any common colour blindness tell apart, less
// yellow, which is too light on white.
var (
	warm  = []color.RGBA{{0xD5, 0x5E, 0x00, 0xFF}, {0xE6, 0x9F, 0x00, 0xFF}, {0xCC, 0x79, 0xA7, 0xFF}}
	cool  = []color.RGBA{{0x00, 0x72, 0xB2, 0xFF}, {0x00, 0x9E, 0x73, 0xFF}, {0x56, 0xB4, 0xE9, 0xFF}}
	grey  = color.RGBA{0x80, 0x80, 0x80, 0xFF}
	black = color.RGBA{0x00, 0x00, 0x00, 0xFF}
)

// choosing are the families that choose entries; they are cool, those that change rows are warm.
var choosing = []string{"eviction", "selection"}

// dashes are the patterns of lines, in points.
var dashes = [][]vg.Length{nil, {6, 2.5}, {2, 2}, {8, 2, 2, 2}, {4, 1.5}}

// styles gives each pipeline a colour, a dash and a marker. Pipelines that differ in the budget alone
// are one curve: they share colour and dash. Curves are numbered by family and name within their hues: the
// next has another colour and shape, and when the colours are through also another dash and filling.
func styles(records []record.Record) map[string]style {
	type curve struct{ family, name string }
	budgets := map[curve][]string{} // pipelines in order of appearance
	for _, r := range records {
		c := curve{r.Family, curveOf(r.Pipeline)}
		if !slices.Contains(budgets[c], r.Pipeline) {
			budgets[c] = append(budgets[c], r.Pipeline)
		}
	}
	curves := slices.SortedFunc(maps.Keys(budgets), func(a, b curve) int {
		return cmp.Or(strings.Compare(a.family, b.family), strings.Compare(a.name, b.name))
	})
	all := map[string]style{}
	numbers := map[color.Color]int{} // curves so far, by the first colour of their hues
	for _, c := range curves {
		hues := huesOf(c.family)
		for b, pipeline := range budgets[c] {
			all[pipeline] = newStyle(pipeline, hues, numbers[hues[0]], b)
		}
		numbers[hues[0]]++
	}
	return all
}

// huesOf are the colours that pipelines of a family take.
func huesOf(family string) []color.RGBA {
	families := strings.Split(family, "+")
	switch {
	case family == baseline:
		return []color.RGBA{black}
	case slices.Contains(families, bound):
		return []color.RGBA{grey}
	case slices.Contains(choosing, families[0]):
		return cool
	}
	return warm
}

// newStyle is the style of a pipeline: the i-th curve of its hues at its b-th budget. Full is wide, bounds
// are thin and small.
func newStyle(pipeline string, hues []color.RGBA, i, b int) style {
	round := i / len(hues)
	c := hues[i%len(hues)]
	width, radius, dash, shape, hollow := 1.3, 3.4, round, i+1+2*b, round%2 == 1
	switch c {
	case black:
		width, radius, shape = 1.6, 3.2, i+b
	case grey:
		width, radius, dash, shape, hollow = 0.8, 1.8, i+1, i+2*b, false
	}
	return style{
		name: oneLine(pipeline),
		line: draw.LineStyle{Color: c, Width: vg.Points(width), Dashes: dashes[dash%len(dashes)]},
		marker: draw.GlyphStyle{
			Color: c, Radius: vg.Points(radius), Shape: glyph{outlines[shape%len(outlines)], hollow},
		},
	}
}

// withoutKnobs returns the records with what an equal-bytes run set taken out of the pipelines' names: a method is
// one curve, whatever its knob is at each length.
func withoutKnobs(records []record.Record) []record.Record {
	out := slices.Clone(records)
	for i, r := range out {
		if method, param, ok := strings.Cut(r.Knob, ":"); ok {
			out[i].Pipeline = record.ParsePipeline(r.Pipeline).Without(method, param).String()
		}
	}
	return out
}

// curveOf is a pipeline's name without its budgets.
func curveOf(pipeline string) string {
	return record.ParsePipeline(pipeline).Without("", "budget").String()
}
