package method

import (
	"math/rand/v2"
	"slices"
	"testing"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// benchView is a prompt of n tokens of noise, on heads KV heads that group query heads read each.
func benchView(heads, group, dim, n int) *cache.View {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []float32 {
		x := make([]float32, n*dim)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		return x
	}
	v := &cache.View{Layers: []int{2}, Dim: dim, VDim: dim, Rules: [][]kernel.Rule{slices.Repeat([]kernel.Rule{kernel.Scaled(0.125)}, heads*group)}, Q: [][][]float32{nil}}
	for range heads {
		v.Pos, v.K, v.V = append(v.Pos, span(0, n)), append(v.K, noise(n)), append(v.V, noise(n))
		for range group {
			v.Q[0] = append(v.Q[0], noise(n))
		}
	}
	return v
}

// BenchmarkStep times a decode step of what watches attention, or chooses what to read, beside that of full.
func BenchmarkStep(b *testing.B) {
	const heads, group, dim, n = 4, 4, 64, 2048
	v := benchView(heads, group, dim, n)
	for _, spec := range []string{"full", "corm", "h2o:budget=2048", "tova:budget=2048", "scissorhands:budget=2300,history=4000", "quest:budget=256", "rocketkv:budget=512", "rocketkv:budget=1024,preset=trtllm", "dsa:topk=256"} {
		ps, err := Parse([]string{spec}, []Entries{{Count: n}})
		if err != nil {
			b.Log(err)
			continue
		}
		b.Run(spec, func(b *testing.B) {
			pool := kernel.NewPool(1)
			defer pool.Close()
			const decode = 300
			c := Cell{Layers: []int{2}, NumLayers: 4, QHeads: heads * group, HeadDim: dim, Heads: heads, Dim: dim, VDim: dim, SeqLen: n + decode, Decode: decode, Pool: pool}
			ds, view, err := ps[0].Decide(c, v, v, nil)
			if err != nil {
				b.Fatal(err)
			}
			first, err := cache.Build(cache.Spec{View: view, Before: v.Shape(), Decisions: ds, Decode: decode, Pool: pool})
			if err != nil {
				b.Fatal(err)
			}
			s := first.Clone()
			k, q, out := make([][]float32, heads), make([]float32, heads*group*dim), make([]float32, heads*group*dim)
			pos := n
			for b.Loop() {
				if pos == n+256 { // the cache would grow, and run out of room
					s.CopyFrom(first)
					pos = n
				}
				for j := range k {
					k[j] = v.K[j][(pos-n)*dim : (pos-n+1)*dim]
				}
				for h := range v.Q[0] {
					copy(q[h*dim:], v.Q[0][h][(pos-n)*dim:(pos-n+1)*dim])
				}
				if err := s.Append(2, pos, k, k); err != nil {
					b.Fatal(err)
				}
				s.Attend(2, pos, q, out)
				s.EndStep(2, pos)
				pos++
			}
		})
	}
}
