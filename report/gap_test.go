package report

import (
	"fmt"
	"strings"
	"testing"

	"kvgauge/sim/record"
)

func TestGap(t *testing.T) {
	for _, c := range []struct {
		name    string
		records []record.Record
		want    string // shares of the records in order, in per cent
	}{
		{"between the bounds, whichever comes first", []record.Record{
			measured("x:budget=25%", "bound", 250, 0.5), measured("a:budget=25%,c=1", "eviction", 250, 0.2), measured("y:budget=25%", "bound", 250, 0.1),
		}, "- 75 -"},
		{"worse than chance, better than any choice", []record.Record{
			measured("x:budget=9", "bound", 250, 0.5), measured("y:budget=9", "bound", 250, 0.1), measured("a:budget=9", "eviction", 250, 0.6), measured("b:budget=9", "eviction", 250, 0.02),
		}, "- - -25 120"},
		{"other budgets and methods without one", []record.Record{
			measured("x:budget=25%", "bound", 250, 0.5), measured("y:budget=25%", "bound", 250, 0.1),
			measured("a:budget=50%", "eviction", 250, 0.2), measured("b", "latent", 250, 0.2), measured("z:rank=3", "bound", 250, 0.01),
		}, "- - - - -"},
		{"other stages", []record.Record{
			measured("x:budget=9", "bound", 250, 0.5), measured("y:budget=9", "bound", 250, 0.1), measured("m+a:budget=9+q", "sharing+eviction+quantisation", 250, 0.4),
			measured("m+x:budget=9+q", "sharing+bound+quantisation", 250, 0.6), measured("m+y:budget=9+q", "sharing+bound+quantisation", 250, 0.2),
		}, "- - 50 - -"},
		{"one bound, or two that are equal", []record.Record{
			measured("x:budget=9", "bound", 250, 0.5), measured("a:budget=9", "eviction", 250, 0.2),
			measured("x:budget=8", "bound", 250, 0.5), measured("y:budget=8", "bound", 250, 0.5), measured("a:budget=8", "eviction", 250, 0.2),
		}, "- - - - -"},
		{"equal bytes: every method, the bounds on entries alone", []record.Record{
			atBytes("x:budget=20", "bound", 0.5), atBytes("y:budget=20", "bound", 0.1), atBytes("z:rank=3", "bound", 0.01),
			atBytes("m+y:budget=40", "sharing+bound", 0.9), atBytes("a:budget=22", "eviction", 0.3), atBytes("b", "latent", 0.4),
		}, "- - - - 50 25"},
		{"external: the bounds whose entries take as many bytes", []record.Record{
			stored("x:budget=9", "bound", 250, 10, 0.5), stored("y:budget=9", "bound", 250, 10, 0.1), stored("x:budget=18", "bound", 500, 20, 0.3),
			stored("y:budget=18", "bound", 500, 20, 0.1), stored("theirs", "external", 240, 0, 0.2), stored("more", "external", 482, 0, 0.2),
		}, "- - - - 75 50"},
		{"external: no bound of its size, one that is composed, no stored entries", []record.Record{
			stored("x:budget=9", "bound", 250, 0, 0.5), stored("y:budget=9", "bound", 250, 0, 0.1), stored("m+x:budget=8", "sharing+bound", 200, 0, 0.5),
			stored("m+y:budget=8", "sharing+bound", 200, 0, 0.1), stored("theirs", "external", 253, 0, 0.2), stored("less", "external", 200, 0, 0.2),
			measured("declared", "external", 250, 0.2),
		}, "- - - - - - -"},
		{"external: the nearest of two sizes", []record.Record{
			stored("x:budget=9", "bound", 1000, 0, 0.5), stored("y:budget=9", "bound", 1000, 0, 0.1), stored("x:budget=10", "bound", 1004, 0, 0.3),
			stored("y:budget=10", "bound", 1004, 0, 0.1), stored("theirs", "external", 999, 0, 0.2),
		}, "- - - - 75"},
		{"external at equal bytes: as every method", []record.Record{
			atBytes("x:budget=20", "bound", 0.5), atBytes("y:budget=20", "bound", 0.1), atBytes("theirs", "external", 0.3),
		}, "- - 50"},
	} {
		t.Run(c.name, func(t *testing.T) {
			col := section{c.records}.gapColumn()
			var got []string
			for _, r := range c.records {
				text := "-"
				if v := col.value(r); v != nil {
					text = fmt.Sprintf("%.0f", 100**v)
				}
				got = append(got, text)
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("got %s, want %s", text, c.want)
			}
		})
	}
}

// stored is a record with metadata beside the entries of its cache.
func stored(pipeline, family string, cache, metadata int64, err float64) record.Record {
	r := measured(pipeline, family, cache, err)
	r.MetadataBytes = &metadata
	return r
}
