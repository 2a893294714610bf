package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/record"
)

// rowNames are the pipelines of a section's rows in a view, those on the front marked.
func rowNames(records []record.Record, v View) string {
	var names []string
	l := layOut(section{records}, v, nil)
	for i, name := range l.names {
		if l.front[i] {
			name = frontMark + name
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// TestViewOrder: full, what failed, the front by error, the others by error, what was not measured; or a column, best first.
func TestViewOrder(t *testing.T) {
	skipped, failed := measured("s", "eviction", 1, 0), measured("f", "eviction", 1, 0)
	skipped.Status, skipped.Error, skipped.CacheBytes = record.Skipped, nil, nil
	failed.Status, failed.Error, failed.CacheBytes = record.Failed, nil, nil
	records := []record.Record{
		skipped, measured("worse", "eviction", 300, 0.5), measured("small", "quantisation", 100, 0.3), measured("bound", "bound", 250, 0.05),
		measured("near", "quantisation", 500, 0.01), measured("twin", "eviction", 500, 0.01), measured("large", "sharing", 1000, 0.2),
		failed, measured("full", "baseline", 1000, 0),
	}
	for _, tt := range []struct {
		v    View
		want string
	}{
		{View{}, "full f >near >twin >small bound large worse s"},
		{View{Top: 3}, "full f >near"},
		{View{Sort: "cache"}, ">small bound worse >near >twin large full s f"},
		{View{Sort: "rel_l2", Top: 2}, "full >near"},
		{View{Sort: "pipeline"}, "bound f full large >near s >small >twin worse"},
		{View{Sort: "mass"}, "full f >near >twin >small bound large worse s"}, // nobody has any
	} {
		if got := rowNames(records, tt.v); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.v, got, tt.want)
		}
	}
}

// TestViewLengths: of each trace its longest length that was measured, unless all are asked for.
func TestViewLengths(t *testing.T) {
	at := func(trace string, n int, status record.Status) record.Record {
		r := measured("a", "eviction", 10, 0.1)
		r.Trace, r.SeqLen, r.Status = trace, n, status
		return r
	}
	all := sections([]record.Record{
		at("x", 64, record.OK), at("x", 128, record.OK), at("x", 256, record.Skipped), at("y", 64, record.OK), at("z", 32, record.Skipped),
	})
	heads := func(v View) string {
		var texts []string
		for _, s := range v.sections(all) {
			texts = append(texts, fmt.Sprint(s.records[0].Trace, s.records[0].SeqLen))
		}
		return strings.Join(texts, " ")
	}
	if got := heads(View{}); got != "x128 y64 z32" {
		t.Errorf("longest: %s", got)
	}
	if got := heads(View{AllLengths: true}); got != "x64 x128 x256 y64 z32" {
		t.Errorf("all: %s", got)
	}
}

// TestPage: three traces of many pipelines are less than 60 lines, which say what they leave out; with all rows the footnotes
// are there.
func TestPage(t *testing.T) {
	var records []record.Record
	for _, trace := range []string{"x", "y", "z"} {
		for _, n := range []int{64, 128} {
			records = append(records, func() record.Record {
				r := measured("full", "baseline", 1000, 0)
				r.Trace, r.SeqLen = trace, n
				return r
			}())
			for i := range 24 {
				r := measured(fmt.Sprintf("m%d", i), "eviction", int64(900-30*i), 0.01*float64(i+1))
				r.Trace, r.SeqLen, r.Warnings = trace, n, []record.Warning{{Code: "clamped", Text: "of its own"}}
				records = append(records, r)
			}
		}
	}
	out := string(write(t, records, Options{Format: "table"}))
	if n := strings.Count(out, "\n"); n >= 60 || strings.Count(out, "\n14 more: --all-rows\n") != 3 || strings.Contains(out, "[1]") {
		t.Errorf("%d lines:\n%s", n, out)
	}
	out = string(write(t, records, Options{Format: "table", View: View{AllRows: true}}))
	for _, want := range []string{"m23 [1]", "\n[1] clamped: of its own\n", "other lengths: --all-lengths"} {
		if !strings.Contains(out, want) {
			t.Errorf("all rows lack %q", want)
		}
	}
}

// TestLongNames are cut to the width, with both ends.
func TestLongNames(t *testing.T) {
	name := "snapkv:budget=128,kernel=7,pooling=max,window=32+adakv:floor=0.2+int4:group=32"
	out := string(write(t, []record.Record{measured(name, "eviction", 10, 0.1)}, Options{Format: "table", Width: 60}))
	for line := range strings.Lines(out[strings.Index(out, "pipeline "):]) {
		if line == "\n" {
			break
		}
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 60 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(out, "> snapkv:") || !strings.Contains(out, "group=32") || !strings.Contains(out, "…") {
		t.Errorf("the name is cut so:\n%s", out)
	}
	if !slices.Contains(SortColumns(), "x full") {
		t.Errorf("columns to sort by: %q", SortColumns())
	}
}
