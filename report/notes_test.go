package report

import (
	"slices"
	"testing"

	"kvgauge/sim"
)

// TestMarkers numbers each text once.
func TestMarkers(t *testing.T) {
	n := &notes{}
	clamped := sim.Warning{Code: "clamped", Text: "to 4"}
	for i, c := range []struct {
		r    sim.Record
		want string
	}{
		{sim.Record{Status: sim.OK}, ""},
		{sim.Record{Status: sim.Skipped, Reason: "3 heads"}, " [1]"},
		{sim.Record{Status: sim.OK, Warnings: []sim.Warning{clamped, {Code: "b", Text: "x"}}}, " [2,3]"},
		{sim.Record{Status: sim.Skipped, Reason: "3 heads", Warnings: []sim.Warning{clamped}}, " [1,2]"},
	} {
		if got := n.markers(c.r); got != c.want {
			t.Errorf("record %d: %q, want %q", i, got, c.want)
		}
	}
	if len(n.texts) != 3 || n.texts[0] != "skipped: 3 heads" || n.texts[1] != "clamped: to 4" {
		t.Errorf("texts %q", n.texts)
	}
}

// TestGeneral says of figures only what holds for the records.
func TestGeneral(t *testing.T) {
	timed := func(cold bool) sim.Record {
		return sim.Record{Family: "eviction", Latency: &sim.Latency{Cold: cold}}
	}
	for _, c := range []struct {
		name    string
		records []sim.Record
		want    []string
	}{
		{"nothing", []sim.Record{{Family: "sharing"}}, nil},
		{"errors", []sim.Record{measured("a", "eviction", 1, 0)}, []string{noteLocal}},
		{"conversion", []sim.Record{measured("a", "sharing+eviction", 1, 0)}, []string{noteLocal, noteRetrained}},
		{"bounds", []sim.Record{measured("a", "bound", 1, 0)}, []string{noteLocal, noteBounds}},
		{"cold", []sim.Record{timed(true)}, []string{noteCold}},
		{"warm", []sim.Record{timed(false)}, []string{noteWarm}},
		{"mixed", []sim.Record{timed(false), timed(true)}, []string{noteMixed}},
	} {
		if got := general(c.records); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
