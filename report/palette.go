package report

import (
	"cmp"
	"image/color"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"kvgauge/sim"
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
	warm = []color.RGBA{{0xD5, 0x5E, 0x00, 0xFF}, {0xE6, 0x9F, 0x00, 0xFF}, {0xCC, 0x79, 0xA7, 0xFF}}
	cool = []color.RGBA{{0x00, 0x72, 0xB2, 0xFF}, {0x00, 0x9E, 0x73, 0xFF}, {0x56, 0xB4, 0xE9, 0xFF}}
	grey = color.RGBA{0x80, 0x80, 0x80, 0xFF}
)

// choosing are the families that choose entries; they are cool, those that change rows are warm.
var choosing = []string{"eviction", "selection", "merging"}

// dashes are the patterns of lines, in points.
var dashes = [][]vg.Length{nil, {6, 2.5}, {2, 2}, {8, 2, 2, 2}, {4, 1.5}}

// styles gives each pipeline a colour, a dash and a marker. Pipelines that differ in the budget alone
// are one curve: they share colour and dash. Neighbours in the order of family and name differ in colour
// first, then in dash and filling, so that 14 curves of a hue differ in two of the three at least.
func styles(records []sim.Record) map[string]style {
	type curve struct{ family, name string }
	budgets := map[curve][]string{} // pipelines in order of appearance
	for _, r := range records {
		c := curve{r.Family, curveOf(r.Pipeline)}
		if !slices.Contains(budgets[c], r.Pipeline) {
			budgets[c] = append(budgets[c], r.Pipeline)
		}
	}
	var curves []curve
	for c := range budgets {
		curves = append(curves, c)
	}
	slices.SortFunc(curves, func(a, b curve) int {
		return cmp.Or(strings.Compare(a.family, b.family), strings.Compare(a.name, b.name))
	})
	all := map[string]style{}
	var warms, cools, bounds int
	for _, c := range curves {
		for b, pipeline := range budgets[c] {
			fams := strings.Split(c.family, "+")
			s := style{}
			switch {
			case c.family == baseline:
				s = newStyle(color.Black, 1.6, nil, 3.2, outlines[0], false)
			case slices.Contains(fams, bound):
				s = newStyle(grey, 0.8, dashes[(bounds+1)%len(dashes)], 1.8, outlines[(bounds+2*b)%len(outlines)], false)
			case slices.Contains(choosing, fams[0]):
				s = hueStyle(cool, cools, b)
			default:
				s = hueStyle(warm, warms, b)
			}
			s.name = oneLine(pipeline)
			all[pipeline] = s
		}
		switch fams := strings.Split(c.family, "+"); {
		case c.family == baseline:
		case slices.Contains(fams, bound):
			bounds++
		case slices.Contains(choosing, fams[0]):
			cools++
		default:
			warms++
		}
	}
	return all
}

// hueStyle is the style of the i-th curve of a group of hues at its b-th budget.
func hueStyle(hues []color.RGBA, i, b int) style {
	round := i / len(hues)
	return newStyle(hues[i%len(hues)], 1.3, dashes[round%len(dashes)], 3.4,
		outlines[(i+1+2*b)%len(outlines)], round%2 == 1)
}

func newStyle(c color.Color, width float64, dash []vg.Length, radius float64, outline func(vg.Point, vg.Length) vg.Path, hollow bool) style {
	return style{
		line:   draw.LineStyle{Color: c, Width: vg.Points(width), Dashes: dash},
		marker: draw.GlyphStyle{Color: c, Radius: vg.Points(radius), Shape: glyph{outline, hollow}},
	}
}

// curveOf is a pipeline's name without its budgets.
func curveOf(pipeline string) string {
	stages := strings.Split(pipeline, "+")
	for i, stage := range stages {
		name, params, _ := strings.Cut(stage, ":")
		kept := slices.DeleteFunc(strings.Split(params, ","), func(kv string) bool {
			return kv == "" || strings.HasPrefix(kv, "budget=")
		})
		if len(kept) > 0 {
			name += ":" + strings.Join(kept, ",")
		}
		stages[i] = name
	}
	return strings.Join(stages, "+")
}
