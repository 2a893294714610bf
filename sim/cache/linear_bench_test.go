package cache

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"kvgauge/sim/kernel"
)

// latent is a Map that makes one row of a token's keys and values side by side.
type latent struct{ encoder Matrix }

func (m latent) Shape(Shape) Shape {
	return Shape{Heads: 1, K: m.encoder.Rows, V: m.encoder.Rows, Latent: true}
}

func (m latent) Row(_ int, k, v, dstK, _ [][]float32) {
	x := make([]float32, 0, m.encoder.Cols)
	for j := range k {
		x = append(x, k[j]...)
	}
	for j := range v {
		x = append(x, v[j]...)
	}
	m.encoder.Mul(x, dstK[0])
}

func (m latent) Buffers(dst [][]byte) [][]byte { return MatrixBuffers(dst, m.encoder) }

// randomMatrix draws from a normal distribution of variance 1/cols.
func randomMatrix(r *rand.Rand, rows, cols int) Matrix {
	m := NewMatrix(rows, cols)
	for i := range m.Data {
		m.Data[i] = float32(r.NormFloat64()) / float32(cols)
	}
	return m
}

// randomView is a prompt of n tokens of one layer.
func randomView(r *rand.Rand, heads, qHeads, dim, n int) *View {
	draw := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return x
	}
	v := &View{Layers: []int{0}, Dim: dim, VDim: dim, Rules: [][]kernel.Rule{slices.Repeat([]kernel.Rule{kernel.Scaled(0.125)}, qHeads)}, FirstQuery: n - 1, Q: [][][]float32{{}}}
	for range heads {
		pos := make([]int32, n)
		for i := range pos {
			pos[i] = int32(i)
		}
		v.K, v.V, v.Pos = append(v.K, draw(n*dim)), append(v.V, draw(n*dim)), append(v.Pos, pos)
	}
	for range qHeads {
		v.Q[0] = append(v.Q[0], draw(dim))
	}
	return v
}

// latentStore is a store of n latent rows of the rank.
func latentStore(tb testing.TB, r *rand.Rand, heads, qHeads, dim, rank, n int, pool *kernel.Pool) (*Store, *View) {
	tb.Helper()
	v := randomView(r, heads, qHeads, dim, n)
	m := Linear{
		Encode: latent{randomMatrix(r, rank, 2*heads*dim)}, Group: qHeads / heads,
		Key: map[int][]Matrix{}, Value: map[int][]Matrix{},
	}
	for range heads {
		m.Key[0] = append(m.Key[0], randomMatrix(r, rank, dim))
		m.Value[0] = append(m.Value[0], randomMatrix(r, dim, rank))
	}
	d := Decision{Map: m}
	s, err := Build(Spec{View: v.Stored(d), Before: v.Shape(), Decisions: []Decision{d}, Decode: 1, Pool: pool})
	if err != nil {
		tb.Fatal(err)
	}
	return s, v
}

// BenchmarkLatentStep attends to 1,024 latent rows in the shape of SmolLM2-135M, and beside it to the keys
// and values that they stand for.
func BenchmarkLatentStep(b *testing.B) {
	const heads, qHeads, dim, rank, n = 3, 9, 64, 288, 1024
	for _, threads := range []int{1, 2} {
		pool := kernel.NewPool(threads)
		defer pool.Close()
		r := rand.New(rand.NewPCG(1, 2))
		s, v := latentStore(b, r, heads, qHeads, dim, rank, n, pool)
		full, err := Build(Spec{View: v, Before: v.Shape(), Pool: pool})
		if err != nil {
			b.Fatal(err)
		}
		var q []float32
		for _, head := range v.Q[0] {
			q = append(q, head...)
		}
		out := make([]float32, qHeads*dim)
		for _, bench := range []struct {
			name string
			s    *Store
		}{{"latent", s}, {"full", full}} {
			b.Run(fmt.Sprintf("%s/%d", bench.name, threads), func(b *testing.B) {
				for b.Loop() {
					bench.s.Attend(0, n-1, q, out)
				}
			})
		}
		if s.folds != nil {
			b.Run(fmt.Sprintf("folds/%d", threads), func(b *testing.B) {
				for b.Loop() {
					s.folds[0].queries(0, n-1, q)
					s.folds[0].outputs(0, out)
				}
			})
		}
	}
}
