package sim

import (
	"fmt"
	"testing"
)

// TestNeedles: the oracle holds every needle that is asked for in the decode window, and full has them all.
func TestNeedles(t *testing.T) {
	tr := openTrace(t, "synth")
	for _, r := range runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, "full,oracle"), Lengths: []int{128, 512, 1024}}) {
		if r.Error.Recall == nil || *r.Error.Recall != 1 {
			t.Errorf("%s at %d: recall %v", r.Pipeline, r.SeqLen, r.Error.Recall)
		}
	}
}

// TestRecallOfDecodedNeedles: a needle counts wherever it was planted, and a ring loses those that went by
// longer ago than it is long, of the decoded tokens too.
func TestRecallOfDecodedNeedles(t *testing.T) {
	tr := openTrace(t, "synth")
	const tokens, decode, recent = 512, 64, 40
	asked, found, decoded := 0.0, 0.0, 0.0
	for _, n := range tr.Needles {
		if n.Query < tokens-decode || n.Query >= tokens {
			continue
		}
		asked++
		if n.Key >= tokens-decode {
			decoded++
		}
		if n.Query-n.Key < recent { // none is among the sinks
			found++
		}
	}
	if decoded == 0 || found == 0 || found == asked {
		t.Fatalf("%g needles, %g within reach, %g decoded: want some of each kind", asked, found, decoded)
	}
	r := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, fmt.Sprintf("streamingllm:recent=%d", recent)), Lengths: []int{tokens}, Decode: new(decode)})[0]
	if got := known(r.Error.Recall); len(got) == 0 || got[0] != found/asked {
		t.Errorf("recall %v, want %g of %g", got, found, asked)
	}
}
