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

// TestShapeText has the range of what layers do not agree on.
func TestShapeText(t *testing.T) {
	shape := func(q, kv, qk, v, window, chunk int) record.Shape {
		return record.Shape{QHeads: q, KVHeads: kv, QKDim: qk, VDim: v, Window: window, Chunk: chunk}
	}
	for _, c := range []struct {
		name string
		r    record.Record
		want string
	}{
		{"without a width of values", record.Record{QHeads: new(9), KVHeads: new(3), HeadDim: new(64)}, "9 query / 3 KV heads of 64"},
		{"equal", record.Record{QHeads: new(9), KVHeads: new(3), HeadDim: new(64), VDim: new(64)}, "9 query / 3 KV heads of 64"},
		{"narrow values", record.Record{QHeads: new(16), KVHeads: new(16), HeadDim: new(192), VDim: new(128)}, "16 query / 16 KV heads of 192, values of 128"},
		{"windows", record.Record{
			QHeads: new(8), KVHeads: new(4), HeadDim: new(64), VDim: new(64),
			Shapes: []record.Shape{shape(8, 4, 64, 64, 512, 0), shape(8, 4, 64, 64, 512, 0), shape(8, 4, 64, 64, 0, 0)},
		}, "8 query / 4 KV heads of 64, window 512 in 2 layers"},
		{"windows and chunks", record.Record{
			QHeads: new(8), KVHeads: new(4), HeadDim: new(64), VDim: new(64),
			Shapes: []record.Shape{shape(8, 4, 64, 64, 512, 0), shape(8, 4, 64, 64, 128, 0), shape(8, 4, 64, 64, 0, 32)},
		}, "8 query / 4 KV heads of 64, window 128 to 512 in 2 layers, chunks of 32 in 1 layer"},
		{"all unequal", record.Record{
			Shapes: []record.Shape{shape(8, 4, 64, 64, 0, 0), shape(16, 2, 192, 128, 0, 0), shape(12, 4, 64, 64, 0, 0)},
		}, "8 to 16 query / 2 to 4 KV heads of 64 to 192, values of 64 to 128"},
		{"heads unequal", record.Record{
			QHeads: new(8), HeadDim: new(64), VDim: new(64),
			Shapes: []record.Shape{shape(8, 4, 64, 64, 0, 0), shape(8, 1, 64, 64, 0, 0)},
		}, "8 query / 1 to 4 KV heads of 64"},
		{"latents", record.Record{
			QHeads: new(16), KVHeads: new(1), HeadDim: new(192), VDim: new(128),
			Shapes: []record.Shape{{QHeads: 16, KVHeads: 1, QKDim: 192, VDim: 128, Latent: true}},
		}, "16 query / 1 KV heads of 192, values of 128, latents in 1 layer"},
		{"nothing known", record.Record{}, "unknown query / unknown KV heads of unknown"},
	} {
		if got := shapeText(c.r); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
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
		l := layOut(s, View{}, &notes{})
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
