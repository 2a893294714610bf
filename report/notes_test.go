package report

import (
	"slices"
	"testing"

	"kvgauge/sim/record"
)

// TestMarkers numbers each text once.
func TestMarkers(t *testing.T) {
	n := &notes{}
	clamped := record.Warning{Code: "clamped", Text: "to 4"}
	for i, c := range []struct {
		r    record.Record
		want string
	}{
		{record.Record{Status: record.OK}, ""},
		{record.Record{Status: record.Skipped, Reason: "3 heads"}, " [1]"},
		{record.Record{Status: record.OK, Warnings: []record.Warning{clamped, {Code: "b", Text: "x"}}}, " [2,3]"},
		{record.Record{Status: record.Skipped, Reason: "3 heads", Warnings: []record.Warning{clamped}}, " [1,2]"},
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
	timed := func(cold bool) record.Record {
		return record.Record{Family: "eviction", Latency: &record.Latency{Cold: cold}}
	}
	for _, c := range []struct {
		name    string
		records []record.Record
		want    []string
	}{
		{"nothing", []record.Record{{Family: "sharing"}}, nil},
		{"errors", []record.Record{measured("a", "eviction", 1, 0)}, []string{noteLocal}},
		{"conversion", []record.Record{measured("a", "sharing+eviction", 1, 0)}, []string{noteLocal, noteRetrained}},
		{"bounds", []record.Record{measured("a", "bound", 1, 0)}, []string{noteLocal, noteBounds}},
		{"cold", []record.Record{timed(true)}, []string{noteCold}},
		{"warm", []record.Record{timed(false)}, []string{noteWarm}},
		{"mixed", []record.Record{timed(false), timed(true)}, []string{noteMixed}},
	} {
		if got := general(c.records); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
