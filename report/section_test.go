package report

import (
	"strings"
	"testing"

	"kvgauge/sim/record"
)

// TestSections groups by what was measured on, in order of first appearance, and keeps the order within.
func TestSections(t *testing.T) {
	rec := func(trace string, n int, pipeline string) record.Record {
		return record.Record{Trace: trace, SeqLen: n, Pipeline: pipeline}
	}
	other := rec("a", 64, "r")
	other.Layers = []int{3}
	got := ""
	for _, s := range sections([]record.Record{rec("b", 64, "p"), rec("a", 64, "p"), rec("b", 64, "q"), rec("b", 32, "p"), other}) {
		for _, r := range s.records {
			got += r.Trace + lengthText(r.SeqLen) + r.Pipeline + " "
		}
		got += "| "
	}
	if want := "b64p b64q | a64p | b32p | a64r | "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHeading(t *testing.T) {
	r := record.Record{
		Trace: "a", Model: "m", SeqLen: 1024, Decode: 64, Windows: 3,
		Layers: []int{0, 1}, NumLayers: 30, QHeads: new(9), KVHeads: new(3), HeadDim: new(64),
	}
	want := "a (m), 1024 tokens (64 decoded, mean of 3 windows): 2 of 30 layers, 9 query / 3 KV heads of 64"
	if got := (section{[]record.Record{r}}).heading(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestWeights: maps fitted elsewhere have a column of their own, which is there only where some record has any.
func TestWeights(t *testing.T) {
	none, some := int64(0), int64(2048)
	for _, tt := range []struct {
		weights []*int64
		want    string
	}{{[]*int64{&none, nil}, ""}, {[]*int64{&none, &some}, "- 2.0 KiB"}} {
		var s section
		for _, w := range tt.weights {
			s.records = append(s.records, record.Record{Status: record.OK, Pipeline: "p", WeightBytes: w})
		}
		l := layOut(s, &notes{})
		var got []string
		for c, column := range l.columns {
			for _, row := range l.rows {
				if column.name == "weights" {
					got = append(got, row[c].text)
				}
			}
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("weights %q, want %q", text, tt.want)
		}
	}
}
