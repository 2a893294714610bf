package report

import (
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"kvgauge/sim/record"
)

const (
	// together is how many pipelines, full and bounds apart, share a panel: nobody tells more curves apart.
	together = 12
	// inRow is how many share a row of small multiples.
	inRow = 8
)

// batch is a row of small multiples: pipelines of one family or of a few, the least errors first.
type batch struct {
	title     string
	pipelines []string
	part      bool // of a family that takes several rows
}

// competitors are the pipelines of records that were measured, full and bounds apart, in their order; name makes one
// of several.
func competitors(records []record.Record, name func(pipeline string) string) []string {
	var all []string
	for _, r := range records {
		if n := name(r.Pipeline); r.Status == record.OK && !isBaseline(r) && !isBound(r) && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// batchesOf are the rows of small multiples, or nil where all pipelines fit into one panel. Families stand in the order
// of the records; one of more pipelines than a row holds takes several, neighbours of few share one.
func batchesOf(records []record.Record) []batch {
	all := competitors(records, func(pipeline string) string { return pipeline })
	if len(all) <= together {
		return nil
	}
	family, errors := map[string]string{}, typicalErrors(records)
	var families []string
	for _, r := range records {
		family[r.Pipeline] = r.Family
	}
	for _, name := range all {
		if !slices.Contains(families, family[name]) {
			families = append(families, family[name])
		}
	}
	var batches []batch
	for _, f := range families {
		members := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return family[name] != f })
		slices.SortStableFunc(members, func(a, b string) int { return cmp.Compare(errors[a], errors[b]) })
		f = oneLine(f)
		if last := len(batches) - 1; last >= 0 && !batches[last].part && len(batches[last].pipelines)+len(members) <= inRow {
			batches[last].title += ", " + f
			batches[last].pipelines = append(batches[last].pipelines, members...)
			continue
		}
		parts := (len(members) + inRow - 1) / inRow
		for i := range parts {
			title := f
			if parts > 1 {
				title = fmt.Sprintf("%s, %d of %d by error", f, i+1, parts)
			}
			batches = append(batches, batch{title, slices.Clone(members[i*len(members)/parts : (i+1)*len(members)/parts]), parts > 1})
		}
	}
	return batches
}

// typicalErrors are the geometric means of the pipelines' errors over traces and lengths; without any it is infinite.
func typicalErrors(records []record.Record) map[string]float64 {
	sum, n := map[string]float64{}, map[string]float64{}
	for _, r := range records {
		if r.Error != nil {
			sum[r.Pipeline] += math.Log(max(r.Error.RelL2, errorFloor))
			n[r.Pipeline]++
		}
	}
	all := map[string]float64{}
	for _, r := range records {
		all[r.Pipeline] = math.Inf(1)
		if n[r.Pipeline] > 0 {
			all[r.Pipeline] = sum[r.Pipeline] / n[r.Pipeline]
		}
	}
	return all
}

// hues are the colours of small multiples and of families: warm and cool by turns.
var hues = []color.RGBA{cool[0], warm[0], cool[1], warm[1], warm[2], cool[2]}

// rowStyle is the style of the i-th pipeline of a row, or of the i-th family.
func rowStyle(name string, i int) style {
	c, again := hues[i%len(hues)], i/len(hues)
	return style{
		name:   oneLine(name),
		line:   draw.LineStyle{Color: c, Width: vg.Points(1.3), Dashes: dashes[again%len(dashes)]},
		marker: draw.GlyphStyle{Color: c, Radius: vg.Points(3), Shape: glyph{outlines[i%len(outlines)], again%2 == 1}},
	}
}

// rowStyles are the styles of small multiples: colours begin again in each row. Full and bounds keep theirs.
func rowStyles(records []record.Record, batches []batch) map[string]style {
	all := styles(records)
	for _, g := range batches {
		for i, pipeline := range g.pipelines {
			all[pipeline] = rowStyle(pipeline, i)
		}
	}
	return all
}

// familyStyles give all pipelines of a family one style, which has its name.
func familyStyles(records []record.Record) map[string]style {
	all, of := map[string]style{}, map[string]style{}
	for name, s := range styles(records) {
		all[name] = s
	}
	next := 0
	for _, r := range records {
		s, ok := of[r.Family]
		switch {
		case ok:
		case isBaseline(r):
			s = all[r.Pipeline]
		case isBound(r):
			s = all[r.Pipeline]
			s.name = oneLine(r.Family)
			s.marker.Shape = glyph{outline: circle}
		default:
			s = rowStyle(r.Family, next)
			next++
		}
		of[r.Family], all[r.Pipeline] = s, s
	}
	return all
}

// row is a row of small multiples.
type row struct {
	title  string
	key    []style
	panels []panel // one for each of the figure's
}

// rowsOf splits a figure into rows: in each the pipelines of one batch are drawn in full, with full and the bounds, and
// all others as a backdrop. Ranges and ticks of a trace's panels stay the same.
func (f figure) rowsOf(batches []batch, look map[string]style) []row {
	var rows []row
	for _, g := range batches {
		r := row{title: g.title}
		seen := map[string]bool{}
		for _, p := range f.panels {
			own := p
			own.series, own.backdrop = nil, nil
			members := make([]series, 0, len(g.pipelines))
			for _, s := range p.series {
				switch name := s.points[0].pipeline; {
				case s.points[0].common:
					own.series = append(own.series, s)
				case slices.Contains(g.pipelines, name):
					members = append(members, s)
					seen[name] = true
				default:
					own.backdrop = append(own.backdrop, s)
				}
			}
			slices.SortFunc(members, func(a, b series) int { // as in the legend
				return slices.Index(g.pipelines, a.points[0].pipeline) - slices.Index(g.pipelines, b.points[0].pipeline)
			})
			own.series = append(own.series, members...)
			r.panels = append(r.panels, own)
		}
		for _, name := range g.pipelines {
			if seen[name] {
				r.key = append(r.key, look[name])
			}
		}
		if len(r.key) > 0 {
			rows = append(rows, r)
		}
	}
	for i := range rows {
		for k := range rows[i].panels {
			p := &rows[i].panels[k]
			if i > 0 {
				p.title, p.y.label = "", ""
			}
			if i < len(rows)-1 {
				p.x.label = ""
			}
		}
	}
	return rows
}

// commonStyles are the styles that every row shows: of full and the bounds.
func (f figure) commonStyles() []style {
	var common []style
	for _, s := range f.order {
		for _, p := range f.panels {
			if slices.ContainsFunc(p.series, func(x series) bool { return x.points[0].common && x.style.name == s.name }) {
				common = append(common, s)
				break
			}
		}
	}
	return append(common, style{name: "pipelines of other rows", line: backdropLine})
}
