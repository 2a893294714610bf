package kernel

import (
	"fmt"
	"testing"
)

func BenchmarkPrefill(b *testing.B) {
	const n, dim = 65536, 128
	for _, f := range []Format{F32, F16} {
		for _, queries := range []int{32, 64} {
			b.Run(fmt.Sprintf("storage=%s/queries=%d/dim=%d/n=%d", f, queries, dim, n), func(b *testing.B) {
				eachPool(b, func(b *testing.B, pool *Pool) {
					st := newStep(f, queries, 1, dim, dim, n, pool)
					out := make([]float32, queries*n)
					b.ResetTimer()
					for range b.N {
						pool.Run(n/Chunk, func(worker, i int) {
							Scores(st.q, &st.k[0], i*Chunk, (i+1)*Chunk, st.scratch[worker], out[i*Chunk:], n)
						})
					}
					report(b, float64(2*queries*n*dim), "GFLOP/s")
				})
			})
		}
	}
}

func BenchmarkCausal(b *testing.B) {
	const n = 4096
	for _, dim := range []int{64, 128} {
		for _, outputs := range []bool{false, true} {
			b.Run(fmt.Sprintf("outputs=%v/storage=f32/dim=%d/n=%d", outputs, dim, n), func(b *testing.B) {
				eachPool(b, func(b *testing.B, pool *Pool) {
					st := newStep(F32, n, 1, dim, dim, n, nil)
					sums := make([]float64, n)
					var out []float32
					products := 2 // of a query with each key
					if outputs {
						out, products = make([]float32, n*dim), 3
					}
					b.ResetTimer()
					for range b.N {
						Causal(pool, st.q, Scaled(1), 0, &st.k[0], &st.v[0], out, sums)
					}
					report(b, float64(products*n*n*dim), "GFLOP/s") // half of the matrix, two operations each
				})
			})
		}
	}
}

func BenchmarkExact(b *testing.B) {
	const n, dim, queries = 16384, 128, 32
	st := newStep(F32, queries, 1, dim, dim, n, nil)
	k := make([]float32, n*dim)
	for i := range n {
		st.k[0].Row(i, k[i*dim:])
	}
	sees := make([]Sight, queries)
	for s := range sees {
		sees[s] = Sight{n - 1, n}
	}
	b.Run(fmt.Sprintf("queries=%d/dim=%d/n=%d", queries, dim, n), func(b *testing.B) {
		for range b.N {
			logits, lse := LogitsExact(st.q, dim, Scaled(1), k, nil, sees)
			WeightedSumExact(logits, lse, dim, k)
		}
		report(b, 4*queries*n*dim, "GFLOP/s")
	})
}

// BenchmarkCausalRules is column sums by rules that bend logits, beside one that only scales.
func BenchmarkCausalRules(b *testing.B) {
	const n, dim = 4096, 128
	for _, r := range []struct {
		name string
		rule Rule
	}{{"plain", Scaled(1)}, {"softcap", Rule{Softcap: 50}}, {"slope", Rule{Slope: 0.1}}, {"window=512", Rule{Window: 512}}} {
		b.Run(fmt.Sprintf("%s/dim=%d/n=%d", r.name, dim, n), func(b *testing.B) {
			st := newStep(F16, n, 1, dim, dim, n, nil)
			sums := make([]float64, n)
			b.ResetTimer()
			for range b.N {
				Causal(nil, st.q, r.rule, 0, &st.k[0], &st.v[0], nil, sums)
			}
		})
	}
}
