package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// step is one decode step over all heads of a layer, as a store does it: chunks over the threads, then the
// merge.
type step struct {
	pool    *Pool
	group   int
	q       []float32 // [stored head][group][dim of a key]
	k, v    []Rows    // [stored head]
	scratch []*Scratch
	parts   []Partial // [stored head][chunk][group]
	out     []float32 // [query head][dim of a value]
}

// newStep fills kvHeads stored heads with n rows each. vDim below dim makes values a prefix of the keys.
func newStep(f Format, heads, kvHeads, dim, vDim, n int, pool *Pool) *step {
	s := &step{pool: pool, group: heads / kvHeads, q: make([]float32, heads*dim), out: make([]float32, heads*vDim)}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range s.q {
		s.q[i] = float32(r.NormFloat64()) / 10
	}
	pattern := NewRows(f, dim, Chunk)
	row := make([]float32, dim)
	for range Chunk {
		for c := range row {
			row[c] = float32(r.NormFloat64())
		}
		pattern.Append(row)
	}
	fill := func() Rows {
		rows := NewRows(f, dim, n)
		for range n / Chunk {
			rows.Data = append(rows.Data, pattern.Data...)
			rows.Scale = append(rows.Scale, pattern.Scale...)
			rows.Min = append(rows.Min, pattern.Min...)
		}
		return rows
	}
	for range kvHeads {
		k := fill()
		s.k = append(s.k, k)
		if vDim < dim {
			s.v = append(s.v, Rows{})
			s.v[len(s.v)-1].PrefixOf(&k, vDim)
		} else {
			s.v = append(s.v, fill())
		}
	}
	for range pool.Threads() {
		s.scratch = append(s.scratch, NewScratch(s.group, dim))
	}
	s.parts = make([]Partial, kvHeads*n/Chunk*s.group)
	for i := range s.parts {
		s.parts[i].Acc = make([]float32, vDim)
	}
	return s
}

// bytes is what a step reads.
func (s *step) bytes() int64 {
	var n int64
	for h := range s.k {
		n += s.k[h].Bytes()
		if s.v[h].Dim == s.k[h].Dim {
			n += s.v[h].Bytes()
		}
	}
	return n
}

// flops counts a multiplication and an addition for each query head, row and channel.
func (s *step) flops() float64 {
	return 2 * float64(s.group*len(s.k)*s.k[0].Len()) * float64(s.k[0].Dim+s.v[0].Dim)
}

func (s *step) run() {
	chunks := s.k[0].Len() / Chunk
	s.pool.Run(len(s.k)*chunks, func(worker, i int) {
		h, c := i/chunks, i%chunks
		q := s.q[h*s.group*s.k[h].Dim : (h+1)*s.group*s.k[h].Dim]
		Attend(q, &s.k[h], &s.v[h], c*Chunk, (c+1)*Chunk, nil, s.scratch[worker], s.parts[i*s.group:(i+1)*s.group])
	})
	dim := s.v[0].Dim
	for h := range len(s.k) * s.group {
		parts := s.parts[h/s.group*chunks*s.group:][:chunks*s.group]
		Merge(parts, h%s.group, s.group, &Rule{}, s.out[h*dim:(h+1)*dim])
	}
}

// report adds a rate in units of 1e9.
func report(b *testing.B, perOp float64, unit string) {
	b.ReportMetric(perOp*float64(b.N)/b.Elapsed().Seconds()/1e9, unit)
}

func eachPool(b *testing.B, f func(b *testing.B, pool *Pool)) {
	for _, threads := range []int{1, 2} {
		pool := NewPool(threads)
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) { f(b, pool) })
		pool.Close()
	}
}

func BenchmarkDecode(b *testing.B) {
	type shape struct{ heads, kvHeads, dim, vDim int }
	var shapes []shape
	for _, dim := range []int{64, 128} {
		for _, kv := range []int{32, 8, 1} {
			shapes = append(shapes, shape{32, kv, dim, dim})
		}
	}
	shapes = append(shapes, shape{32, 1, 576, 512}, shape{128, 1, 576, 512})
	for _, f := range []Format{F16, Int8, Int4} {
		b.Run("storage="+f.String(), func(b *testing.B) {
			for _, s := range shapes {
				for _, n := range []int{4096, 16384, 65536} {
					b.Run(fmt.Sprintf("heads=%dx%d/dim=%d/n=%d", s.heads, s.kvHeads, s.dim, n), func(b *testing.B) {
						eachPool(b, func(b *testing.B, pool *Pool) {
							st := newStep(f, s.heads, s.kvHeads, s.dim, s.vDim, n, pool)
							st.run()
							b.ResetTimer()
							for range b.N {
								st.run()
							}
							report(b, float64(st.bytes()), "GB/s")
							report(b, st.flops(), "GFLOP/s")
						})
					})
				}
			}
		})
	}
}

// BenchmarkDecodeRules is a step by rules that bend logits, beside one that only scales.
func BenchmarkDecodeRules(b *testing.B) {
	const dim, n = 128, 16384
	for _, r := range []struct {
		name string
		rule Rule
	}{{"plain", Scaled(1)}, {"softcap", Rule{Softcap: 50}}, {"slope", Rule{Slope: 0.1}}, {"window=n", Rule{Window: n}}, {"window=4096", Rule{Window: 4096}}} {
		for _, kvHeads := range []int{32, 8} {
			b.Run(fmt.Sprintf("%s/heads=32x%d/dim=%d/n=%d", r.name, kvHeads, dim, n), func(b *testing.B) {
				st := newStep(F16, 32, kvHeads, dim, dim, n, nil)
				pos, rules := make([]int32, n), slices.Repeat([]Rule{r.rule}, st.group)
				for i := range pos {
					pos[i] = int32(i)
				}
				b.ResetTimer()
				for range b.N {
					for h := range st.k {
						for lo := 0; lo < n; lo += Chunk {
							st.scratch[0].Bend(rules, pos[lo:lo+Chunk], n-1)
							Attend(st.q[h*st.group*dim:(h+1)*st.group*dim], &st.k[h], &st.v[h], lo, lo+Chunk, nil, st.scratch[0], st.parts[:st.group])
						}
					}
				}
			})
		}
	}
}
