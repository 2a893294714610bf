package method

import (
	"math"
	"testing"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// storedBytes builds the store of one layer in the middle of an 80-layer model, a KV head of 128 channels, and
// returns what it takes after n prompt tokens.
func storedBytes(t *testing.T, spec string, n int) int64 {
	t.Helper()
	r := stream(1, 0, 0, 0)
	rows := make([]float32, 128*n)
	for i := range rows {
		rows[i] = float32(r.NormFloat64())
	}
	v := &cache.View{
		Layers: []int{40}, Dim: 128, VDim: 128, Rules: [][]kernel.Rule{{kernel.Scaled(0.1)}}, Pos: [][]int32{span(0, n)},
		K: [][]float32{rows}, V: [][]float32{rows}, Q: [][][]float32{{rows}},
	}
	ps, err := Parse([]string{spec}, []Entries{{Percent: 25}})
	if err != nil {
		t.Fatal(err)
	}
	c := Cell{
		Layers: v.Layers, NumLayers: 80, QHeads: 1, HeadDim: 128, Heads: 1, Dim: 128, VDim: 128, SeqLen: n, Seed: 1,
	}
	if err := ps[0].Fit(c); err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	ds, reduced, err := ps[0].Decide(c, v, v, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := cache.Build(cache.Spec{View: reduced, Before: v.Shape(), Decisions: ds})
	if err != nil {
		t.Fatal(err)
	}
	return s.Bytes()
}

// TestPublishedSizes holds stored bytes against the sizes that engines and papers print, by token and KV head of
// 128 channels, against f16's 512.
func TestPublishedSizes(t *testing.T) {
	const n = 64
	tests := []struct {
		spec   string
		bytes  float64
		ratio  float64 // printed
		within float64 // of the printed ratio, as a share
		source string
	}{
		{"turboquant:preset=k8v4", 196, 2.6, 0.01, "vllm#38479"},
		{"turboquant:preset=4bit_nc", 134, 3.8, 0.01, "vllm#38479, its later slot"},
		{"turboquant:preset=k3v4_nc", 118, 4.3, 0.01, "vllm#38479, its later slot; a comment in its configuration says 3.5, which does not follow"},
		{"turboquant:preset=3bit_nc", 102, 4.9, 0.03, "vllm#38479, its later slot"},
		{"int8pth", 264, 1.95, 0.01, "vllm#38378 prints 1.95 where 512/264 is 1.939"},
		{"nvfp4", 144, 3.56, 0.01, "SGLang's documentation of FP4 against BF16"},
		{"q4_0", 144, 3.556, 0.001, "ggml: 18 bytes a block of 32"},
		{"q8_0", 272, 1.882, 0.001, "ggml: 34 bytes a block of 32"},
	}
	for _, tt := range tests {
		got := float64(storedBytes(t, tt.spec, 2*n)-storedBytes(t, tt.spec, n)) / n // constants of the store apart
		if got != tt.bytes {
			t.Errorf("%s: %g bytes a token and head, want %g (%s)", tt.spec, got, tt.bytes, tt.source)
		}
		if ratio := 512 / got; math.Abs(ratio-tt.ratio) > tt.within*tt.ratio {
			t.Errorf("%s: %.3f times smaller than f16, printed %g (%s)", tt.spec, ratio, tt.ratio, tt.source)
		}
	}
	// vLLM's study of 80 layers: four of them raw.
	for preset, want := range map[string]float64{"k8v4": 2.417, "4bit_nc": 3.349} {
		packed := float64(storedBytes(t, "turboquant:preset="+preset, n)) / n
		if got := 80 * 512 / (76*packed + 4*512); math.Abs(got-want) > 1e-3 {
			t.Errorf("turboquant %s over 80 layers: %.3f times smaller, want %.3f", preset, got, want)
		}
	}
}

// TestPublishedSavings: R-KV's saving by budget at 8,192 and 16,384 tokens.
func TestPublishedSavings(t *testing.T) {
	for _, tt := range []struct {
		budget, tokens int
		saving         float64 // percent
	}{{1024, 8192, 87.5}, {1536, 8192, 81.25}, {3072, 8192, 62.5}, {1024, 16384, 93.75}, {1536, 16384, 90.63}, {3072, 16384, 81.25}} {
		b := Entries{Count: tt.budget}
		if got := 100 * (1 - float64(b.Of(tt.tokens))/float64(tt.tokens)); math.Abs(got-tt.saving) > 0.005 {
			t.Errorf("budget %d of %d: saves %.2f %%, printed %g", tt.budget, tt.tokens, got, tt.saving)
		}
	}
	for share, want := range map[float64][2]int{10: {819, 1638}, 34: {2785, 5570}, 54: {4423, 8847}} {
		b := Entries{Percent: share}
		if b.Of(8192) != want[0] || b.Of(16384) != want[1] {
			t.Errorf("%g %%: %d and %d entries, printed %v", share, b.Of(8192), b.Of(16384), want)
		}
	}
}
