package report

import (
	"slices"
	"strings"
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
		if got := n.markers("a", ofRecord(c.r)); got != c.want {
			t.Errorf("record %d: %q, want %q", i, got, c.want)
		}
	}
	if got := n.all(); !slices.Equal(got, []string{"skipped: 3 heads", "clamped: to 4", "b: x"}) {
		t.Errorf("texts %q", got)
	}
}

// all are the texts of the footnotes.
func (n *notes) all() []string {
	var texts []string
	for _, c := range n.causes {
		texts = append(texts, c.text())
	}
	return texts
}

// TestCauses: footnotes that differ in their figures and pipelines alone are one.
func TestCauses(t *testing.T) {
	n := &notes{}
	for _, c := range []struct{ pipeline, text, want string }{
		{"a:budget=3", "size-off-target: cache of 312 bytes is 4.7 % below the target of 327: a:budget=3 is the nearest", " [1]"},
		{"b", "clamped: to 4", " [2]"},
		{"c:rank=8", "size-off-target: cache of 99 bytes is 7 % below the target of 327: c:rank=8 is the nearest", " [1]"},
		{"d", "size-off-target: cache of 99 bytes is 7 % below the target of 327: c:rank=8 is the nearest", " [1]"},
		{"e:rank=8", "size-off-target: cache of 98 bytes is 7 % below the target of 327: e:rank=8 is the nearest", " [1]"},
		{"f:rank=8", "size-off-target: cache of 97 bytes is 7 % below the target of 327: f:rank=8 is the nearest", " [1]"},
		{"g:rank=8", "size-off-target: cache of 96 bytes is 7 % below the target of 327: g:rank=8 is the nearest", " [1]"},
	} {
		if got := n.markers(c.pipeline, []string{c.text}); got != c.want {
			t.Errorf("%s: %q, want %q", c.pipeline, got, c.want)
		}
	}
	want := []string{
		"size-off-target: cache of 312 bytes is 4.7 % below the target of 327: a:budget=3 is the nearest (a:budget=3); " +
			"cache of 99 bytes is 7 % below the target of 327: c:rank=8 is the nearest (c:rank=8); " +
			"cache of 98 bytes is 7 % below the target of 327: e:rank=8 is the nearest (e:rank=8); with other figures f:rank=8, g:rank=8",
		"clamped: to 4",
	}
	if got := n.all(); !slices.Equal(got, want) {
		t.Errorf("texts %q, want %q", got, want)
	}
}

// TestMarkersOfTrace: what is about the trace is a footnote of the heading, once, and of no row.
func TestMarkersOfTrace(t *testing.T) {
	field := record.Warning{Code: "unknown-field", Text: "field scales: not read"}
	tensor := record.Warning{Code: "unknown-field", Text: "tensor layers.0.z: not read"}
	same := record.Warning{Code: "nothing-changed", Text: "all 64 entries stay"}
	s := section{[]record.Record{
		{Status: record.OK, Pipeline: "a", Trace: "t", Warnings: []record.Warning{field, tensor}},
		{Status: record.OK, Pipeline: "b", Trace: "t", Warnings: []record.Warning{field, tensor, same}},
		{Status: record.OK, Pipeline: "c", Trace: "t", Warnings: []record.Warning{same, field, tensor}},
		{Status: record.Skipped, Reason: "why", Pipeline: "d", Trace: "t", Warnings: []record.Warning{field, tensor}},
	}}
	n := &notes{}
	l := layOut(s, View{}, n)
	if !strings.HasSuffix(l.heading, " [1,2]") {
		t.Errorf("heading %q", l.heading)
	}
	if want := []string{"a", "b [3]", "c [3]", "d [4]"}; !slices.Equal(l.names, want) {
		t.Errorf("rows %q, want %q", l.names, want)
	}
	if got := n.all(); len(got) != 4 || got[0] != "unknown-field: field scales: not read" {
		t.Errorf("texts %q", got)
	}
	if l = layOut(section{s.records[1:]}, View{}, n); !strings.HasSuffix(l.heading, " [1,2]") || len(n.causes) != 4 {
		t.Errorf("the same of another length: %q, %q", l.heading, n.all())
	}
}

// TestChangedLayers: a pipeline that changed fewer layers than there are has a footnote where some have a window or
// chunks; elsewhere, and for records that do not say, there is none.
func TestChangedLayers(t *testing.T) {
	shapes := []record.Shape{{Layer: 0, Window: 64}, {Layer: 1, Chunk: 32}, {Layer: 2}}
	for _, c := range []struct {
		name, family string
		shapes       []record.Shape
		changed      *int
		want         string
	}{
		{"fewer", "eviction", shapes, new(1), "changed 1 of 3 layers; with a window or chunks: 2"},
		{"none", "bound", shapes, new(0), "changed 0 of 3 layers; with a window or chunks: 2"},
		{"all", "quantisation", shapes, new(3), ""},
		{"full", "baseline", shapes, new(0), ""},
		{"no window", "sharing", shapes[2:], new(1), ""},
		{"no shapes", "eviction", nil, new(1), ""},
		{"not measured", "eviction", shapes, nil, ""},
	} {
		r := record.Record{Status: record.OK, Family: c.family, Layers: []int{0, 1, 2}, Shapes: c.shapes, ChangedLayers: c.changed}
		if got := strings.Join(ofRecord(r), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
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
		{"windows", []record.Record{{Family: "eviction", Shapes: []record.Shape{{}, {Chunk: 8}}}}, []string{noteWindows}},
		{"shapes without windows", []record.Record{{Family: "eviction", Shapes: []record.Shape{{}, {}}}}, nil},
		{"mixed", []record.Record{timed(false), timed(true)}, []string{noteMixed}},
	} {
		if got := general(c.records); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
