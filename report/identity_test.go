package report

import (
	"strings"
	"testing"

	"kvgauge/sim/record"
)

// TestApart names what tells traces of one name apart, and nothing where a name is one trace.
func TestApart(t *testing.T) {
	edit := func(edits ...func(*record.Record)) []record.Record {
		var all []record.Record
		for _, e := range edits {
			r := record.Record{Trace: "t", TraceSHA256: "0123456789abcdef", Layers: []int{0, 1}, Seed: 1, Windows: 1, SeqLen: 128, Decode: 16}
			e(&r)
			all = append(all, r)
		}
		return all
	}
	same := func(*record.Record) {}
	for _, c := range []struct {
		name    string
		records []record.Record
		want    []string
	}{
		{"one trace", edit(same, func(r *record.Record) { r.SeqLen, r.Decode = 256, 32 }), []string{"t", "t"}},
		{"two names", edit(same, func(r *record.Record) { r.Trace, r.TraceSHA256 = "u", "f" }), []string{"t", "u"}},
		{"content", edit(same, func(r *record.Record) { r.TraceSHA256 = "fedcba9876543210" }), []string{"t [sha256 0123456789ab]", "t [sha256 fedcba987654]"}},
		{"layers, which says enough", edit(same, func(r *record.Record) { r.Layers, r.Seed = []int{2}, 7 }), []string{"t [layers 0..1]", "t [layers 2]"}},
		{
			"layers and seed", edit(same, func(r *record.Record) { r.Layers = []int{2} }, func(r *record.Record) { r.Layers, r.Seed = []int{2}, 7 }),
			[]string{"t [layers 0..1]", "t [layers 2, seed 1]", "t [layers 2, seed 7]"},
		},
		{"windows", edit(same, func(r *record.Record) { r.Windows = 4 }), []string{"t [windows 1]", "t [windows 4]"}},
		{
			"decode of one length", edit(same, func(r *record.Record) { r.Decode = 8 }, func(r *record.Record) { r.SeqLen, r.Decode = 256, 32 }),
			[]string{"t [decode 16]", "t [decode 8]", "t"},
		},
	} {
		before := c.records[0].Trace
		for i, r := range apart(c.records) {
			if r.Trace != c.want[i] {
				t.Errorf("%s: %q, want %q", c.name, r.Trace, c.want[i])
			}
		}
		if c.records[0].Trace != before {
			t.Errorf("%s: the records themselves are renamed", c.name)
		}
	}
}

// TestTwinsInReports: two traces of one name have headings, panels and benchmarks of their own.
func TestTwinsInReports(t *testing.T) {
	records := goldenRecords()
	for _, r := range goldenRecords() {
		r.TraceSHA256 = strings.Repeat("cd", 32)
		records = append(records, r)
	}
	for _, format := range []string{"table", "markdown"} {
		text := strings.ReplaceAll(string(write(t, records, Options{Format: format, View: View{AllLengths: true}})), `\`, "")
		for _, want := range []string{"smollm2 [sha256 abababababab] (SmolLM2-135M-Instruct), 128 tokens", "smollm2 [sha256 cdcdcdcdcdcd] (SmolLM2-135M-Instruct), 128 tokens"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in it:\n%s", format, want, text)
			}
		}
	}
	pictures, err := Plots(records, "svg")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pictures {
		for _, want := range []string{"smollm2 [sha256 abababababab]", "synth [sha256 cdcdcdcdcdcd]"} {
			if !strings.Contains(string(p.Data), want) {
				t.Errorf("%s: no %q in it", p.Name, want)
			}
		}
	}
}
