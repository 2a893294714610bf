package method

import (
	"math"
	"testing"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// BenchmarkCompress times what a prompt takes once, decisions and stores of six layers of SmolLM2's shape on two threads:
// what a record has as compress_ns.
func BenchmarkCompress(b *testing.B) {
	const heads, group, dim, n, layers = 3, 3, 64, 2048, 6
	var views []*cache.View
	for l := range layers {
		v := benchView(heads, group, dim, n)
		v.Layers = []int{l}
		v.Rope = kernel.Rope{InvFreq: make([]float64, dim/2)}
		for i := range v.Rope.InvFreq {
			v.Rope.InvFreq[i] = math.Pow(1e4, -2*float64(i)/dim)
		}
		views = append(views, v)
	}
	for _, name := range []string{"streamingllm", "knorm", "cur", "keydiff", "tova", "snapkv", "pyramidkv", "adakv", "chunkkv", "lagkv", "expectedattention", "h2o"} {
		ps, err := Parse([]string{name}, []Entries{{Count: n / 4}})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			pool := kernel.NewPool(2)
			defer pool.Close()
			for b.Loop() {
				for _, v := range views {
					c := Cell{Layers: []int{0, 1, 2, 3, 4, 5}, NumLayers: layers, QHeads: heads * group, HeadDim: dim, Heads: heads, Dim: dim, VDim: dim, SeqLen: n + 1, Decode: 1, Pool: pool, RopeDims: dim, HasRope: true}
					ds, view, err := ps[0].Decide(c, v, v, nil)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := cache.Build(cache.Spec{View: view, Before: v.Shape(), Decisions: ds, Decode: 1, Pool: pool}); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
