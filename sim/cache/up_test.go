package cache

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"kvgauge/sim/kernel"
)

// upOf draws the weights of a latent layer.
func upOf(r *rand.Rand, qHeads, nope, shared, rank, v int, f kernel.Format) Up {
	draw := func(rows, cols int) kernel.Rows {
		out := kernel.NewRows(f, cols, rows)
		out.AppendRows(randomMatrix(r, rows, cols).Data)
		return out
	}
	u := Up{Shared: shared}
	for range qHeads {
		u.Key, u.Value = append(u.Key, draw(rank, nope)), append(u.Value, draw(v, rank))
	}
	return u
}

// upStore is a store of n rows that a latent layer caches, with room for one more.
func upStore(tb testing.TB, u Up, qHeads, n int, codec *Codec, pool *kernel.Pool) *Store {
	tb.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	v := randomView(r, 1, qHeads, u.Rank()+u.Shared, n)
	v.Latent, v.VDim = true, u.Rank()
	before := Shape{Heads: 1, K: u.Key[0].Dim + u.Shared, V: u.Value[0].Len()}
	s, err := Build(Spec{View: v, Before: before, Decisions: []Decision{{Map: u}, {Codec: codec}}, Decode: 1, Pool: pool})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// TestUp: a step over latents is attention over the keys and values that they stand for, whatever the weights are stored as
// and with any number of threads.
func TestUp(t *testing.T) {
	const qHeads, nope, shared, rank, vDim, n = 5, 12, 8, 24, 10, 70
	for _, f := range []kernel.Format{kernel.F32, kernel.F16, kernel.BF16} {
		u := upOf(rand.New(rand.NewPCG(3, 4)), qHeads, nope, shared, rank, vDim, f)
		q := randomMatrix(rand.New(rand.NewPCG(5, 6)), qHeads, nope+shared)
		want := make([]float64, qHeads*vDim)
		s := upStore(t, u, qHeads, n, nil, nil)
		row, m := make([]float32, rank+shared), make([]float32, rank)
		for h := range qHeads {
			var total float64
			sum := make([]float64, rank)
			for i := range n {
				s.heads[0].k.Row(i, row)
				logit := 0.0
				for c := range nope {
					key := 0.0 // (w_uk c) of the channel
					for k := range rank {
						u.Key[h].Row(k, m[:nope])
						key += float64(m[c]) * float64(row[k])
					}
					logit += key * float64(q.Row(h)[c])
				}
				for c := range shared {
					logit += float64(row[rank+c]) * float64(q.Row(h)[nope+c])
				}
				p := math.Exp(0.125 * logit)
				total += p
				for k := range rank {
					sum[k] += p * float64(row[k])
				}
			}
			for c := range vDim {
				u.Value[h].Row(c, m)
				for k := range rank {
					want[h*vDim+c] += float64(m[k]) * sum[k] / total
				}
			}
		}
		for _, threads := range []int{1, 3} {
			pool := kernel.NewPool(threads)
			s := upStore(t, u, qHeads, n, nil, pool)
			out := make([]float32, len(want))
			s.Attend(0, n-1, q.Data, out)
			for i, x := range out {
				if d := math.Abs(float64(x) - want[i]); d > 1e-6 {
					t.Fatalf("%v, %d threads: output %d is %g, want %g", f, threads, i, x, want[i])
				}
			}
			if ops := int64(2 * qHeads * (n*(2*rank+shared) + rank*(nope+vDim))); s.FLOPs() != ops {
				t.Errorf("%d operations, want %d", s.FLOPs(), ops)
			}
			if b := int64(2 * n * (rank + shared)); s.Bytes() != b || s.Traffic() != b {
				t.Errorf("%d bytes, %d read, want %d: weights are the model's", s.Bytes(), s.Traffic(), b)
			}
			pool.Close()
		}
	}
}

// TestUpAllocates: a step over latents allocates nothing, and tokens that are taken back leave the store as it was.
func TestUpAllocates(t *testing.T) {
	const qHeads, nope, shared, rank, vDim, n = 4, 16, 8, 32, 16, 300
	pool := kernel.NewPool(2)
	defer pool.Close()
	u := upOf(rand.New(rand.NewPCG(3, 4)), qHeads, nope, shared, rank, vDim, kernel.F16)
	s := upStore(t, u, qHeads, n, nil, pool)
	q, row := make([]float32, qHeads*(nope+shared)), make([]float32, rank+shared)
	for i := range q {
		q[i] = float32(i%7) - 3
	}
	before, out := make([]float32, qHeads*vDim), make([]float32, qHeads*vDim)
	s.Attend(0, n-1, q, before)
	if allocs := testing.AllocsPerRun(20, func() {
		if err := s.Append(0, n, [][]float32{row}, nil); err != nil {
			t.Fatal(err)
		}
		s.Attend(0, n, q, out)
		s.EndStep(0, n)
		s.Rewind(1)
	}); allocs > 2 { // the argument of Append
		t.Errorf("%g allocations a step", allocs)
	}
	s.Attend(0, n-1, q, out)
	for i := range out {
		if out[i] != before[i] {
			t.Fatalf("output %d is %g after a token was taken back, %g before", i, out[i], before[i])
		}
	}
}

// BenchmarkUpStep attends to latents in the shapes of DeepSeek-V2-Lite and V3, weights in f16; fma is the share of the
// machine's multiply-adds, peak the roofline's.
func BenchmarkUpStep(b *testing.B) {
	pool := kernel.NewPool(2)
	defer pool.Close()
	peak := kernel.MeasureRoofline(pool, kernel.NewCacheFlusher(pool, 32<<20)).GFLOPs
	for _, qHeads := range []int{16, 128} {
		u := upOf(rand.New(rand.NewPCG(3, 4)), qHeads, 128, 64, 512, 128, kernel.F16)
		for _, n := range []int{1 << 10, 1 << 12, 1 << 14} {
			for _, f := range []kernel.Format{kernel.F16, kernel.Int8} {
				s := upStore(b, u, qHeads, n, &Codec{K: kernel.Plain(f), V: kernel.Plain(f)}, pool)
				q, out := make([]float32, qHeads*192), make([]float32, qHeads*128)
				b.Run(fmt.Sprintf("heads=%d/tokens=%d/%s", qHeads, n, f), func(b *testing.B) {
					var ops int64
					for b.Loop() {
						s.flops = 0
						s.Attend(0, n-1, q, out)
						ops = s.FLOPs()
					}
					b.ReportMetric(100*float64(ops)/float64(b.Elapsed().Nanoseconds())*float64(b.N)/peak, "%fma")
				})
			}
		}
	}
}
