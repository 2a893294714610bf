package method

import (
	"math"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// TestRocketPrompt: TensorRT-LLM's window scores the keys before it as if its own were not there.
func TestRocketPrompt(t *testing.T) {
	const n, decode, window, budget = 50, 10, 6, 20
	v := sequence(2, 2, n)
	ps, err := Parse([]string{"rocketkv:budget=20,kernel=3,preset=trtllm,window=6"}, budgets(t, "25%"))
	if err != nil {
		t.Fatal(err)
	}
	pool := kernel.NewPool(1)
	defer pool.Close()
	c := Cell{Layers: []int{2}, NumLayers: 4, QHeads: 4, HeadDim: v.Dim, Heads: 2, Dim: v.Dim, VDim: v.VDim, SeqLen: n + decode, Decode: decode, Pool: pool}
	ds, _, err := ps[0].Decide(c, v, v, nil)
	if err != nil {
		t.Fatal(err)
	}
	for j := range 2 {
		scores := make([]float64, n-window)
		for h := 2 * j; h < 2*j+2; h++ {
			for pos := n - window; pos < n; pos++ {
				for i, p := range probabilities(v, h, pos, span(0, n-window)) {
					scores[i] += p
				}
			}
		}
		wide := make([]float64, len(scores))
		for i := range wide {
			wide[i] = slices.Max(scores[max(0, i-1):min(len(scores), i+2)])
		}
		want := append(topK(wide, budget-window), span(n-window, n)...)
		if !slices.Equal(ds[0].Keep[j], want) {
			t.Errorf("head %d keeps %v, want %v", j, ds[0].Keep[j], want)
		}
	}
}

// TestRocketPagesRound: bounds are stored in E5M2, and so are the queries that meet them.
func TestRocketPagesRound(t *testing.T) {
	x := rocketPages{page: 2, top: 1, channels: 4}.Index(1, 1, 4, 6).(*rocketPageIndex)
	for _, key := range [][]float32{{1.1, -1.1, 0, 0}, {0.3, 5.1, 0, 0}, {9, 9, 0, 0}} {
		x.Append(0, key)
	}
	row := make([]float32, 8)
	x.rows[0].Row(0, row)
	if want := []float32{1, 5, 0, 0, 0.3125, -1, 0, 0}; !slices.Equal(row, want) {
		t.Errorf("bounds %v, want %v", row, want)
	}
	x.Select(&cache.Reading{Q: []float32{0.55, -0.55, 0, 0}, Selected: [][]int32{nil}}) // 1.1 before the softmax scale of 4 channels
	if want := []float32{0.5, 0, 0, 0, 0, -0.5, 0, 0}; !slices.Equal(x.q, want) {
		t.Errorf("the query reads bounds as %v, want %v", x.q, want)
	}
	if p := float64(x.mean[0] + x.mean[1]); math.Abs(p-1) > 1e-6 {
		t.Errorf("probabilities of pages sum to %g", p)
	}
}

// TestRocketParams: what the authors' preset derives cannot be given.
func TestRocketParams(t *testing.T) {
	for _, spec := range []string{"rocketkv:page=8", "rocketkv:topk=8", "rocketkv:topr=8"} {
		if _, err := Parse([]string{spec}, budgets(t, "25%")); err == nil || !strings.Contains(err.Error(), "preset=trtllm") {
			t.Errorf("%s: %v", spec, err)
		}
	}
}
