package method

import (
	"slices"
	"testing"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// BenchmarkRebuiltStep attends to 1,024 latent rows whose keys are rebuilt, in the shape of SmolLM2-135M.
func BenchmarkRebuiltStep(b *testing.B) {
	const heads, qHeads, dim, rank, rows = 3, 9, 64, 288, 1024
	r := stream(1, 0, 0, 0)
	draw := func(n int) []float32 {
		xs := make([]float32, n)
		for i := range xs {
			xs[i] = float32(r.NormFloat64())
		}
		return xs
	}
	v := &cache.View{Layers: []int{0}, Dim: dim, VDim: dim, Rules: [][]kernel.Rule{slices.Repeat([]kernel.Rule{kernel.Scaled(0.125)}, qHeads)}, FirstQuery: rows - 1, Q: [][][]float32{{}}}
	for p := range dim / 2 {
		v.Rope.InvFreq = append(v.Rope.InvFreq, 1/float64(1+10*p))
	}
	for range heads {
		v.K, v.V, v.Pos = append(v.K, draw(rows*dim)), append(v.V, draw(rows*dim)), append(v.Pos, span(0, rows))
	}
	for range qHeads {
		v.Q[0] = append(v.Q[0], draw(dim))
	}
	d := cache.Decision{Map: newRebuilt(v, rank, 1)}
	pool := kernel.NewPool(1)
	s, err := cache.Build(cache.Spec{View: v.Stored(d), Before: v.Shape(), Decisions: []cache.Decision{d}, Decode: 1, Pool: pool})
	if err != nil {
		b.Fatal(err)
	}
	q, out := draw(qHeads*dim), make([]float32, qHeads*dim)
	for b.Loop() {
		s.Attend(0, rows-1, q, out)
	}
}
