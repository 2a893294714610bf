package report

import (
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"

	"kvgauge/sim/record"
)

// TestErrorFloor draws errors that the picture does not resolve at its bottom, and says so.
func TestErrorFloor(t *testing.T) {
	for _, c := range []struct {
		name   string
		errors []float64
		floor  float64
		said   string // in the captions; "" not at all
	}{
		{"all above", []float64{0.03, 0.5}, 0.01, ""},
		{"f16 rounding and zero", []float64{0, 2e-6, 0.03, 0.5}, 0.01, "Errors below 1 %"},
		{"small ones", []float64{2e-6, 3e-4, 0.5}, 1e-4, "Errors below 0.01 %"},
		{"all at rounding", []float64{0, 2e-6}, 1e-4, "Errors below 0.01 %"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var records []record.Record
			for i, e := range c.errors {
				records = append(records, measured(string(rune('a'+i)), "eviction", 100, e))
			}
			for _, f := range []figure{errorFigure(records, styles(records), false), tradeoffFigure(records, styles(records), false)} {
				for i, s := range f.panels[0].series {
					if want := max(c.errors[i], c.floor); math.Abs(s.points[0].y/want-1) > 1e-9 {
						t.Errorf("%v is drawn at %v, want %v", c.errors[i], s.points[0].y, want)
					}
				}
				if y := f.panels[0].y; y.low >= c.floor {
					t.Errorf("axis starts at %v, want below %v", y.low, c.floor)
				}
				said := strings.Contains(strings.Join(f.captions, " "), "Errors below")
				if said != (c.said != "") || !strings.Contains(strings.Join(f.captions, " "), c.said) {
					t.Errorf("captions %q", f.captions)
				}
			}
		})
	}
}

// TestErrorFloorOfReductions does not let the rounding of the full cache stretch the axis.
func TestErrorFloorOfReductions(t *testing.T) {
	records := []record.Record{measured("full", "baseline", 1000, 8e-4), measured("a", "eviction", 100, 0.2)}
	f := errorFigure(records, styles(records), false)
	if y := f.panels[0].series[0].points[0].y; math.Abs(y-0.1) > 1e-9 {
		t.Errorf("full is drawn at %v, want the floor 0.1", y)
	}
	f = errorFigure(records[:1], styles(records), false)
	if y := f.panels[0].series[0].points[0].y; y != 8e-4 {
		t.Errorf("full alone is drawn at %v, want its error", y)
	}
}

// TestTradeoff takes each trace's longest length, joins budgets and leaves bounds off the front.
func TestTradeoff(t *testing.T) {
	short := measured("a:budget=10%", "eviction", 1, 0.001)
	short.SeqLen = 32
	other := measured("c", "sharing", 400, 0.2)
	other.Trace = "u"
	records := []record.Record{
		short, measured("full", "baseline", 1000, 1e-6),
		measured("a:budget=50%", "eviction", 500, 0.05), measured("a:budget=10%", "eviction", 100, 0.2),
		measured("b", "eviction", 500, 0.1), measured("z", "bound", 50, 0.01), other,
	}
	f := tradeoffFigure(records, styles(records), false)
	if len(f.panels) != 2 {
		t.Fatalf("%d panels, want one a trace", len(f.panels))
	}
	p := f.panels[0]
	var xs [][]float64
	for _, s := range p.series {
		var line []float64
		for _, pt := range s.points {
			line = append(line, pt.x)
		}
		xs = append(xs, line)
	}
	// The bound first, below the others; the budgets of a on one line, ascending.
	want := [][]float64{{0.05}, {1}, {0.1, 0.5}, {0.5}}
	if !slices.EqualFunc(xs, want, func(a, b []float64) bool { return slices.Equal(a, b) }) {
		t.Errorf("shares %v, want %v", xs, want)
	}
	var front []float64
	for _, pt := range p.front {
		front = append(front, pt.x)
	}
	if !slices.Equal(front, []float64{0.1, 0.5, 1}) {
		t.Errorf("front at shares %v", front)
	}
	if !strings.Contains(p.title, "64 tokens") {
		t.Errorf("title %q", p.title)
	}
}

// TestSpread moves markers only where they would hide each other, by the same to both sides.
func TestSpread(t *testing.T) {
	same := func(v float64) vg.Length { return vg.Length(v) }
	at := spread([]point{{x: 100, y: 50}, {x: 200, y: 50}, {x: 100, y: 51}, {x: 100, y: 80}}, same, same, 100)
	if at[1] != (vg.Point{X: 200, Y: 50}) || at[3] != (vg.Point{X: 100, Y: 80}) {
		t.Errorf("markers that stand alone moved: %v", at)
	}
	if at[0].X+at[2].X != 200 || at[2].X-at[0].X < 5 || at[0].Y != 50 || at[2].Y != 51 {
		t.Errorf("markers that hide each other: %v", at)
	}
}

func TestWrapAndShorten(t *testing.T) {
	sty := textStyle(9, false, grey)
	for _, line := range wrap(sty, strings.Repeat("some words ", 40), 200) {
		if sty.Width(line) > 200 {
			t.Errorf("%q is %v wide", line, sty.Width(line))
		}
	}
	if got := shorten(sty, "short", 200); got != "short" {
		t.Errorf("%q was shortened", got)
	}
	long := shorten(sty, strings.Repeat("name", 40), 200)
	if sty.Width(long) > 200 || !strings.HasSuffix(long, "…") || len(long) < 20 {
		t.Errorf("%q is %v wide", long, sty.Width(long))
	}
}

// TestLatencyFigure: curves are ratios times one step of full for each length, whatever the pipelines' own medians were.
func TestLatencyFigure(t *testing.T) {
	records := goldenRecords()
	for i := range records {
		if l := records[i].Latency; l != nil && records[i].Pipeline == "mqa" {
			slower := *l // the machine was busy then
			slower.MedianNS *= 3
			slower.FullStepNS = []int64{3 * l.FullStepNS[0], 3 * l.FullStepNS[1], 3 * l.FullStepNS[2]}
			records[i].Latency = &slower
		}
	}
	f := latencyFigure(records, styles(records), false)
	if len(f.panels) != 2 {
		t.Fatalf("%d panels, want one a trace", len(f.panels))
	}
	for _, s := range f.panels[0].series {
		for _, p := range s.points {
			var full float64
			for _, r := range records {
				if r.Trace == "smollm2" && r.Pipeline == "full" && r.SeqLen == int(p.x) {
					full = float64(r.Latency.FullStepNS[0])
				}
			}
			if !slices.ContainsFunc(records, func(r record.Record) bool {
				l := r.Latency
				return r.Trace == "smollm2" && r.SeqLen == int(p.x) && l != nil && near(p.y, l.RatioToFull*full) && near(p.lo, *l.RatioLo*full) && near(p.hi, *l.RatioHi*full)
			}) {
				t.Errorf("at %g tokens: %g (%g to %g) is no ratio times full's step of %g", p.x, p.y, p.lo, p.hi, full)
			}
		}
	}
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(b) }
