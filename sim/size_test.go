package sim

import (
	"errors"
	"path/filepath"
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
// every registered method, its variants and combinations; of each method on layers with windows and chunks, of other
// shapes, with states, that read the rows of others, and that cache latents.
func TestSizeIsWhatRunMeasures(t *testing.T) {
	t.Parallel()
	const small = "synth:layers=4,q_heads=4,kv_heads=2,head_dim=32,tokens=160,"
	tests := []struct {
		trace   *trace.Trace
		specs   []string
		lengths []int
		least   int // pipelines that have a size
	}{
		{golden(t, "tiny"), everything, []int{33, 96}, 120},
		{golden(t, "gqa"), everything, []int{161}, 120},
		{openTrace(t, small+"window=40,full_every=2,window_kv_heads=1,window_head_dim=64"), []string{"all", "snapkv:scope=all", "mqa+snapkv+int8", "cla+kivi"}, []int{30, 150}, 30},
		{openTrace(t, small+"chunk=48,full_every=4"), []string{"all", "streamingllm:scope=all"}, []int{150}, 30},
		{openTrace(t, small+"state=1000,full_every=2"), []string{"all"}, []int{150}, 25},
		{openTrace(t, "synth:layers=4,q_heads=4,kv_heads=1,head_dim=32,tokens=160,latent=64,latent_rope=16"), []string{"all", "snapkv+int8"}, []int{150}, 20},
		{openTrace(t, filepath.Join("..", "testdata", "goldens", "attention", "gemma4.safetensors")), []string{"sharing,latent,eviction,quantisation"}, []int{48}, 15},
	}
	if long() {
		tests[1].lengths = []int{130, 161, 257, 320}
	}
	for _, tt := range tests {
		tr := tt.trace
		tr.Repeat = trace.Span{First: 10, Last: 20}
		o := Options{Traces: headers(tr), Calibrate: itself(tr), Pipelines: parse(t, tt.specs...), Lengths: tt.lengths, Decode: new(0), Kept: true}
		sized := map[string]bool{}
		for _, r := range runCells(t, o) {
			p := parse(t, r.Pipeline)[0]
			c := Cell{Trace: &tr.Header, Pipeline: p, SeqLen: r.SeqLen, Layers: tr.Layers}
			n, err := c.size(kernel.Plain(kernel.F16))
			switch {
			case errors.Is(err, method.ErrContent):
			case (err == nil) != (r.Status == record.OK):
				t.Errorf("%s %s at %d: run says %s %s, size %v", tr.Name, r.Pipeline, r.SeqLen, r.Status, r.Reason, err)
			case err == nil:
				if sized[r.Pipeline] = true; n != *r.CacheBytes {
					t.Errorf("%s %s at %d: size %d, run measures %d", tr.Name, r.Pipeline, r.SeqLen, n, *r.CacheBytes)
				}
			}
		}
		if len(sized) < tt.least {
			t.Errorf("%s: only %d pipelines have a size", tr.Name, len(sized))
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
