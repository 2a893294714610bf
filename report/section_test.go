package report

import (
	"testing"

	"kvgauge/sim"
)

// TestSections groups by what was measured on, in order of first appearance, and keeps the order within.
func TestSections(t *testing.T) {
	rec := func(trace string, n int, pipeline string) sim.Record {
		return sim.Record{Trace: trace, SeqLen: n, Pipeline: pipeline}
	}
	other := rec("a", 64, "r")
	other.Layers = []int{3}
	got := ""
	for _, s := range sections([]sim.Record{rec("b", 64, "p"), rec("a", 64, "p"), rec("b", 64, "q"), rec("b", 32, "p"), other}) {
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
	r := sim.Record{
		Trace: "a", Model: "m", SeqLen: 1024, Decode: 64, Windows: 3,
		Layers: []int{0, 1}, NumLayers: 30, QHeads: 9, KVHeads: 3, HeadDim: 64,
	}
	want := "a (m), 1024 tokens (64 decoded, mean of 3 windows): 2 of 30 layers, 9 query / 3 KV heads of 64"
	if got := (section{[]sim.Record{r}}).heading(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
