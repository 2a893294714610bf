package sim

import (
	"errors"
	"slices"
	"testing"

	"kvgauge/sim/kernel"
	"kvgauge/sim/method"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// byContent are the methods whose size the content decides: all others must be sized.
var byContent = []string{"adakv", "cake", "corm", "kvzip", "f32"} // f32 is a method of a test

// TestSizeIsWhatRunMeasures holds the bytes that follow from parameters against those of the stores that a run fills, of
// every registered method, its variants and combinations.
func TestSizeIsWhatRunMeasures(t *testing.T) {
	t.Parallel()
	lengths := map[string][]int{"tiny": {33, 96}, "gqa": {161}}
	if long() {
		lengths["gqa"] = []int{130, 161, 257, 320}
	}
	for _, name := range []string{"tiny", "gqa"} {
		tr := golden(t, name)
		tr.Repeat = trace.Span{First: 10, Last: 20}
		o := Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, everything...), Lengths: lengths[name], Decode: new(0), Kept: true}
		sized := map[string]bool{}
		for _, r := range runCells(t, o) {
			p := parse(t, r.Pipeline)[0]
			c := Cell{Trace: &tr.Header, Pipeline: p, SeqLen: r.SeqLen, Layers: tr.Layers}
			n, err := c.size(kernel.Plain(kernel.F16))
			switch {
			case errors.Is(err, method.ErrContent):
				t.Log(name, r.Pipeline, r.SeqLen)
			case (err == nil) != (r.Status == record.OK):
				t.Errorf("%s %s at %d: run says %s %s, size %v", name, r.Pipeline, r.SeqLen, r.Status, r.Reason, err)
			case err == nil:
				if sized[r.Pipeline] = true; n != *r.CacheBytes {
					t.Errorf("%s %s at %d: size %d, run measures %d", name, r.Pipeline, r.SeqLen, n, *r.CacheBytes)
				}
			}
		}
		if len(sized) < 120 {
			t.Errorf("%s: only %d pipelines have a size", name, len(sized))
		}
	}
}

// TestEveryMethodHasASize or is known for one that its content decides.
func TestEveryMethodHasASize(t *testing.T) {
	h := golden(t, "gqa").Header
	for _, i := range method.All() {
		p := parse(t, i.Name)[0]
		_, err := Cell{Trace: &h, Pipeline: p, SeqLen: 320, Layers: h.Layers}.size(kernel.Plain(kernel.F16))
		if content := errors.Is(err, method.ErrContent); content != slices.Contains(byContent, i.Name) {
			t.Errorf("%s: %v; that content decides is said of %v", i.Name, err, byContent)
		}
	}
}
