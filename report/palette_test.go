package report

import (
	"fmt"
	"image/color"
	"math"
	"reflect"
	"slices"
	"testing"

	"gonum.org/v1/plot/vg"

	"kvgauge/sim/record"
)

func TestCurveOf(t *testing.T) {
	for pipeline, want := range map[string]string{
		"a":                       "a",
		"a:budget=25%":            "a",
		"a:budget=25%,window=8":   "a:window=8",
		"a:beta=2,budget=128":     "a:beta=2",
		"a:heads=2+b:budget=128":  "a:heads=2+b",
		"a:mybudget=1+b:budget=5": "a:mybudget=1+b",
	} {
		if got := curveOf(pipeline); got != want {
			t.Errorf("%s: %s, want %s", pipeline, got, want)
		}
	}
}

// look is what the eye sees of a style.
func look(s style) string {
	g := s.marker.Shape.(glyph)
	return fmt.Sprint(s.line.Color, s.line.Dashes, g.outline(vg.Point{}, 1), g.hollow)
}

// TestStylesDiffer gives each of many pipelines a look of its own.
func TestStylesDiffer(t *testing.T) {
	var records []record.Record
	for _, family := range []string{"baseline", "sharing", "eviction", "bound"} {
		n := 14
		switch family {
		case "baseline":
			n = 1
		case "bound":
			n = 4
		}
		for i := range n {
			records = append(records, record.Record{Pipeline: fmt.Sprint(family, i), Family: family})
		}
	}
	seen := map[string]string{}
	for name, s := range styles(records) {
		if other := seen[look(s)]; other != "" {
			t.Errorf("%s looks like %s", name, other)
		}
		seen[look(s)] = name
	}
}

// TestStylesOfBudgets gives the budgets of a method one line and markers of their own.
func TestStylesOfBudgets(t *testing.T) {
	var records []record.Record
	for _, p := range []string{"a:budget=2%", "a:budget=12%", "a:budget=25%", "b:budget=2%"} {
		records = append(records, record.Record{Pipeline: p, Family: "eviction"})
	}
	all := styles(records)
	for _, p := range []string{"a:budget=12%", "a:budget=25%"} {
		if !reflect.DeepEqual(all["a:budget=2%"].line, all[p].line) || look(all["a:budget=2%"]) == look(all[p]) {
			t.Errorf("%s: want the line of 2%% and a marker of its own", p)
		}
	}
	if all["a:budget=2%"].line.Color == all["b:budget=2%"].line.Color {
		t.Error("two methods of one colour")
	}
}

// TestStylesIgnoreOrder keeps colours whatever the order of pipelines and traces.
func TestStylesIgnoreOrder(t *testing.T) {
	records := synthRecords("25%")
	backwards := slices.Clone(records)
	slices.Reverse(backwards)
	a, b := styles(records), styles(backwards)
	for name := range a {
		if look(a[name]) != look(b[name]) {
			t.Errorf("%s changes with the order of records", name)
		}
	}
}

// TestColoursOnWhite keeps every colour dark enough for thin lines: a contrast of 2 to white, by the
// relative luminance of WCAG 2.1.
func TestColoursOnWhite(t *testing.T) {
	for _, c := range slices.Concat(warm, cool, []color.RGBA{grey}) {
		if ratio := 1.05 / (luminance(c) + 0.05); ratio < 2 {
			t.Errorf("%v: contrast %.2f", c, ratio)
		}
	}
}

func luminance(c color.RGBA) float64 {
	linear := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

// TestWithoutKnobs takes out of a name what was set, of the stage that it was set of.
func TestWithoutKnobs(t *testing.T) {
	for _, c := range []struct{ pipeline, knob, want string }{
		{"a:budget=25%", "", "a:budget=25%"},
		{"a:budget=24", "a:budget", "a"},
		{"a:budget=24,c=1", "a:budget", "a:c=1"},
		{"m:rank=4+a:budget=24+b:budget=3", "a:budget", "m:rank=4+a+b:budget=3"},
		{"m:rank=4", "m:rank", "m"},
	} {
		records := []record.Record{{Pipeline: c.pipeline, Knob: c.knob}}
		if got := withoutKnobs(records)[0].Pipeline; got != c.want || records[0].Pipeline != c.pipeline {
			t.Errorf("%s less %s: %s, want %s", c.pipeline, c.knob, got, c.want)
		}
	}
}
