package report

import (
	"fmt"
	"image"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/recorder"

	"kvgauge/sim/record"
)

// TestBatchesOf makes rows of families: large ones are split by their errors, small neighbours share one.
func TestBatchesOf(t *testing.T) {
	if groups := batchesOf(synthRecords("25%")); groups != nil {
		t.Errorf("few pipelines make rows: %+v", groups)
	}
	var records []record.Record
	add := func(family string, n int) {
		for i := range n {
			records = append(records, measured(fmt.Sprint(family, i), family, 100, 0.5-0.01*float64(i)))
		}
	}
	add(baseline, 1)
	add("a", 2)
	add("b", 3)
	add("c", 17)
	add("d", 1)
	add("e", 8)
	add(bound, 4)
	records = append(records, record.Record{Pipeline: "skipped", Family: "a", Status: record.Skipped})
	var titles []string
	for _, g := range batchesOf(records) {
		titles = append(titles, fmt.Sprint(g.title, " ", g.pipelines))
	}
	want := []string{
		"a, b [a1 a0 b2 b1 b0]",
		"c, 1 of 3 by error [c16 c15 c14 c13 c12]",
		"c, 2 of 3 by error [c11 c10 c9 c8 c7 c6]",
		"c, 3 of 3 by error [c5 c4 c3 c2 c1 c0]",
		"d [d0]",
		"e [e7 e6 e5 e4 e3 e2 e1 e0]",
	}
	if !slices.Equal(titles, want) {
		t.Errorf("rows\n%s\nwant\n%s", strings.Join(titles, "\n"), strings.Join(want, "\n"))
	}
}

// TestSmallMultiples shows each pipeline in one row, behind it all others, on the same axes.
func TestSmallMultiples(t *testing.T) {
	records := crowdRecords(50, 8)
	all := competitors(records, func(name string) string { return name })
	if len(all) != 50 {
		t.Fatalf("%d pipelines", len(all))
	}
	for _, p := range pictures[:3] {
		f := p.figure(records)
		var named []string
		for _, r := range f.rows {
			if len(r.panels) != 2 || len(r.key) > inRow {
				t.Errorf("%s: row %s of %d panels and %d names", p.name, r.title, len(r.panels), len(r.key))
			}
			looks := map[string]bool{}
			for _, s := range r.key {
				named = append(named, s.name)
				looks[look(s)] = true
			}
			if len(looks) != len(r.key) {
				t.Errorf("%s: %s: %d pipelines have %d looks", p.name, r.title, len(r.key), len(looks))
			}
			for i, own := range r.panels {
				if len(own.series) != len(r.key)+3 || len(own.series)+len(own.backdrop) != 53 { // full and two bounds
					t.Errorf("%s: %s: %d curves and %d behind them", p.name, r.title, len(own.series), len(own.backdrop))
				}
				first := f.rows[0].panels[0]
				if own.y.low != first.y.low || own.y.high != first.y.high || own.x.low != f.rows[0].panels[i].x.low {
					t.Errorf("%s: %s: other axes than the first row", p.name, r.title)
				}
			}
		}
		slices.Sort(named)
		if slices.Sort(all); !slices.Equal(named, all) {
			t.Errorf("%s: names of the rows %v, want each pipeline once", p.name, named)
		}
		if !slices.Contains(f.captions, captionRows) {
			t.Errorf("%s: captions %q", p.name, f.captions)
		}
	}
}

// TestBars lists all pipelines by error under the trade-off, those of the front marked.
func TestBars(t *testing.T) {
	records := crowdRecords(50, 8)
	f := tradeoff(records)
	if len(f.bars) != 2 || !f.panels[0].named {
		t.Fatalf("%d charts, names %v", len(f.bars), f.panels[0].named)
	}
	for i, c := range f.bars {
		if len(c.bars) != 53 || c.more != 0 || !slices.IsSortedFunc(c.bars, func(a, b bar) int { return int(1e6 * (a.err - b.err)) }) {
			t.Errorf("%d bars, %d more: %+v", len(c.bars), c.more, c.bars)
		}
		front := 0
		for _, b := range c.bars {
			beaten := slices.ContainsFunc(c.bars, func(o bar) bool {
				return !o.bound && o.share <= b.share && o.err <= b.err && (o.share < b.share || o.err < b.err)
			})
			if b.front == (beaten || b.bound || b.share >= 1) {
				t.Errorf("%s at %v of %v: front %v", b.name, b.err, b.share, b.front)
			}
			if b.front {
				front++
			}
		}
		if front != len(f.panels[i].front)-1 { // less full
			t.Errorf("%d bars are marked, the front has %d points", front, len(f.panels[i].front))
		}
		if c.top() != zeroError {
			t.Errorf("axis to %v, want it cut at 1: an error is above", c.top())
		}
	}
	if text := strings.Join(f.captions, "\n"); !strings.Contains(text, "Bars beyond 100 %") {
		t.Errorf("captions %s", text)
	}
}

// TestBarsDropTheWorst keeps the front where there are more pipelines than lines.
func TestBarsDropTheWorst(t *testing.T) {
	f := tradeoff(crowdRecords(90, 1))
	for _, c := range f.bars {
		if len(c.bars) != maxBars || c.more != 33 {
			t.Errorf("%d bars, %d more", len(c.bars), c.more)
		}
	}
	for i, p := range f.panels {
		for _, pt := range p.front {
			if !slices.ContainsFunc(f.bars[i].bars, func(b bar) bool { return b.share == pt.x && (b.front || pt.x == 1) }) {
				t.Errorf("no bar of %+v", pt)
			}
		}
	}
	if text := strings.Join(f.captions, "\n"); !strings.Contains(text, "Of more than 60 pipelines") {
		t.Errorf("captions %s", text)
	}
}

// TestNamesDoNotCollide places names among random points: none covers another, a line to another or the edge.
func TestNamesDoNotCollide(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	placed, onFront := 0, 0
	for range 30 {
		c := draw.NewCanvas(&recorder.Canvas{}, 300, 250)
		scale := func(v float64) vg.Length { return vg.Length(v) }
		var points []point
		var at []vg.Point
		for i := range 45 {
			p := point{x: 20 + 260*r.Float64()*r.Float64(), y: 10 + 230*r.Float64(), pipeline: fmt.Sprint("method", i)}
			points, at = append(points, p), append(at, vg.Point{X: vg.Length(p.x), Y: vg.Length(p.y)})
		}
		p := panel{front: pareto(points)}
		names := p.placeNames(c, points, at, scale, scale)
		var boxes []vg.Rectangle
		for _, n := range names {
			size := nameBox(n.style, n.text)
			box := vg.Rectangle{Min: vg.Point{X: n.at.X - 1, Y: n.at.Y + 1 - size.Y}, Max: vg.Point{X: n.at.X - 1 + size.X, Y: n.at.Y + 1}}
			if box.Min.X < 0 || box.Min.Y < 0 || box.Max.X > 300 || box.Max.Y > 250 {
				t.Errorf("%s leaves the axes: %v", n.text, box)
			}
			boxes = append(boxes, box)
		}
		for i, b := range boxes {
			for k := range boxes {
				if k < i && covers(b, boxes[k]) {
					t.Errorf("%s covers %s", names[i].text, names[k].text)
				}
				if k != i && names[k].leader != nil && crosses(names[k].leader[0], names[k].leader[1], b) {
					t.Errorf("the line of %s crosses %s", names[k].text, names[i].text)
				}
			}
		}
		for _, f := range p.front {
			onFront++
			if slices.ContainsFunc(names, func(n pointName) bool { return n.text == f.pipeline }) {
				placed++
			}
		}
	}
	if placed < onFront*98/100 {
		t.Errorf("%d of %d points on fronts have names", placed, onFront)
	}
}

// TestShortNames leaves budgets out where a method has one.
func TestShortNames(t *testing.T) {
	got := shortNames([]point{{pipeline: "a:budget=25%,w=2"}, {pipeline: "b:budget=25%"}, {pipeline: "b:budget=50%"}, {pipeline: "a:budget=25%,w=2"}})
	for name, want := range map[string]string{"a:budget=25%,w=2": "a:w=2", "b:budget=25%": "b:budget=25%"} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
}

// TestCrowdPictures draws crowds in sizes that a person can take in, with nothing in the margins.
func TestCrowdPictures(t *testing.T) {
	long := crowdRecords(14, 1)
	for i := range long {
		long[i].Pipeline += strings.Repeat("+with:another=1", 30)
		long[i].Trace = strings.Repeat("trace", 60)
		long[i].Family += strings.Repeat("+family", 30)
	}
	for _, c := range []struct {
		name    string
		records []record.Record
		wide    int // inches, at most
	}{
		{"50 pipelines, 8 lengths, 2 traces", crowdRecords(50, 8), 12},
		{"long names", long, 12},
	} {
		if testing.Short() && c.name != "long names" {
			continue
		}
		pictures, err := Plots(c.records, "png")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pictures {
			img := decode(t, p)
			size := img.Bounds().Size()
			if size.X > c.wide*dpi || size.Y > 24*dpi {
				t.Errorf("%s: %s: %v", c.name, p.Name, size)
			}
			for _, edge := range []image.Rectangle{
				{image.Pt(0, 0), image.Pt(size.X, 20)},
				{image.Pt(0, size.Y-20), size},
				{image.Pt(0, 0), image.Pt(20, size.Y)},
				{image.Pt(size.X-20, 0), size},
			} {
				if n := ink(img, edge); n > 0 {
					t.Errorf("%s: %s: %d pixels in the margin %v", c.name, p.Name, n, edge)
				}
			}
		}
	}
}

// TestRowWithoutCurves draws a trace that none of a row's pipelines apply to, with nothing else in the row.
func TestRowWithoutCurves(t *testing.T) {
	records := slices.DeleteFunc(crowdRecords(14, 2), func(r record.Record) bool {
		return r.Family == baseline || r.Family == bound || r.Trace == "bytelm" && (r.Family == "eviction" || r.Family == "merging")
	})
	for _, p := range pictures {
		f := p.figure(records)
		if f.rows != nil && !slices.ContainsFunc(f.rows, func(r row) bool { return len(r.panels[1].series) == 0 }) {
			t.Errorf("%s: each row has curves", p.name)
		}
		if _, err := f.draw("svg"); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}

// TestNoisyIntervals: the axis of ratios is that of their values, and the caption says that it cuts intervals.
func TestNoisyIntervals(t *testing.T) {
	quiet := crowdRecords(14, 2)
	noisy := crowdRecords(14, 2)
	noisy[5].Latency.RatioLo, noisy[5].Latency.RatioHi = new(0.0), new(1e6)
	want, got := pictures[1].figure(quiet), pictures[1].figure(noisy)
	if a, b := want.panels[0].y, got.panels[0].y; a.low != b.low || a.high != b.high {
		t.Errorf("axis from %v to %v, without noise from %v to %v", b.low, b.high, a.low, a.high)
	}
	const cut = "Intervals that leave the axes are cut."
	if strings.Contains(strings.Join(want.captions, " "), cut) || !strings.Contains(strings.Join(got.captions, " "), cut) {
		t.Errorf("captions %q; with noise %q", want.captions, got.captions)
	}
	if _, err := got.draw("svg"); err != nil {
		t.Error(err)
	}
}

// TestManyTraces says which traces small multiples leave out.
func TestManyTraces(t *testing.T) {
	var records []record.Record
	for i := range maxColumns + 2 {
		for _, r := range crowdRecords(14, 1) {
			r.Trace += string(rune('a' + i))
			records = append(records, r)
		}
	}
	f := pictures[2].figure(records)
	if text := strings.Join(f.captions, "\n"); len(f.panels) != maxColumns || !strings.Contains(text, "Only the first 6 of 16 traces are drawn.") {
		t.Errorf("%d panels, captions %s", len(f.panels), text)
	}
}
