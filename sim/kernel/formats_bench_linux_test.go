package kernel

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkFormats is attention of three query heads over 4,096 entries of 64 channels, which lie in the nearer caches, on
// one thread: what reading a format costs beside f16, on a machine that may be busy, since the thread's own time counts. Of
// five turns at each the shortest is taken.
func BenchmarkFormats(b *testing.B) {
	const n, dim, heads, repeats = 4096, 64, 3, 40
	window := func(l Layout, w ResidualWindow) Layout { l.Residual = w; return l }
	channels := func(bl *Blocks, tokens int) Layout {
		return Layout{Format: Blocked, Blocks: bl, Tokens: tokens, Residual: ResidualWindow{Flush: tokens}}
	}
	q8, q4, q5 := Blockwise(Q8()), Blockwise(Q4()), Blockwise(Q5Min())
	formats := []struct {
		name string
		k, v Layout
	}{
		{name: "f16", k: Plain(F16)},
		{name: "bf16", k: Plain(BF16)},
		{name: "int8", k: Plain(Int8)},
		{name: "int8_fixed", k: Layout{Format: Blocked, Blocks: Signed8(), Fixed: []float32{0.05}}},
		{name: "int8_channel", k: channels(Signed8(), 32)},
		{name: "int8pth", k: Blockwise(Tokenwise8(false))},
		{name: "fp8_fixed", k: Blockwise(FP8(false, NoScale))},
		{name: "fp8_token", k: Blockwise(FP8(false, HalfScale))},
		{name: "fp8_channel", k: channels(FP8(false, NoScale), 32)},
		{name: "fp8pth", k: Blockwise(FP8(false, FloatScale))},
		{name: "openvino", k: Layout{Format: Blocked, Blocks: Zeros8(), Tokens: 32, Open: true}, v: Blockwise(Zeros8Row())},
		{name: "q8_0", k: q8},
		{name: "q5_1", k: q5},
		{name: "q5_0", k: Blockwise(Q5())},
		{name: "q4_1", k: Blockwise(Q4Min())},
		{name: "iq4_nl", k: Blockwise(NonLinear())},
		{name: "q4_0", k: q4},
		{name: "q8_0_q4_0", k: q8, v: q4},
		{name: "q4_0_q8_0", k: q4, v: q8},
		{name: "q8_0_q5_1", k: q8, v: q5},
		{name: "mlx_8", k: Blockwise(MLX(8, 64))},
		{name: "mlx_4", k: Blockwise(MLX(4, 64))},
		{name: "mlx_2", k: Blockwise(MLX(2, 64))},
		{name: "quanto_4", k: Blockwise(Quanto(4, 64))},
		{name: "hqq_4", k: Blockwise(HQQ(4, 64, 2))},
		{name: "int4", k: Plain(Int4)},
		{name: "int4pth", k: Blockwise(Tokenwise4())},
		{name: "kivi_4", k: Layout{Format: Int4, Tokens: 32, Residual: ResidualWindow{Flush: 128}}, v: window(Plain(Int4), ResidualWindow{Flush: 1, Hold: 128})},
		{name: "kivi_2", k: window(channels(Codes(2), 32), ResidualWindow{Flush: 128}), v: window(Blockwise(Uniform(2, 32)), ResidualWindow{Flush: 1, Hold: 128})},
		{name: "turboquant_4", k: Blockwise(Codebook(4, dim, true)), v: Blockwise(Range(4))},
		{name: "nvfp4", k: Blockwise(NVFP4(0.01, false))},
		{name: "mx4", k: Blockwise(MX4(16))},
		{name: "kvarn", k: window(channels(Balanced(4, true), 128), ResidualWindow{Sinks: 128, Flush: 128}), v: window(channels(Balanced(2, false), 128), ResidualWindow{Sinks: 128, Flush: 128})},
	}
	r := rand.New(rand.NewPCG(1, 2))
	filled := func(l Layout) Rows {
		rows, row, room := l.Rows(dim, n), make([]float32, dim), make([]float32, l.Room(dim))
		for range n {
			for c := range row {
				row[c] = float32(r.NormFloat64())
			}
			rows.Append(row)
			rows.Flush(room)
		}
		rows.EndPrompt()
		return rows
	}
	q := make([]float32, heads*dim)
	for i := range q {
		q[i] = float32(r.NormFloat64()) / 10
	}
	s, out := NewScratch(heads, dim), make([]Partial, heads)
	for h := range out {
		out[h].Acc = make([]float32, dim)
	}
	var f16 float64
	for _, f := range formats {
		v := f.v
		if v.Format == F32 {
			v = f.k
		}
		keys, values := filled(f.k), filled(v)
		b.Run(f.name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for range b.N {
				var turns []float64
				for range 5 {
					start := threadTime(b)
					for range repeats {
						for lo := 0; lo < n; lo += Chunk {
							Attend(q, &keys, &values, lo, lo+Chunk, nil, s, out)
						}
					}
					turns = append(turns, float64(threadTime(b)-start)/repeats)
				}
				least := slices.Min(turns)
				if f.name == "f16" {
					f16 = least
				}
				b.ReportMetric(least/1e3, "us")
				b.ReportMetric(least/f16, "of-f16")
			}
		})
	}
}

// threadTime is what the processor has given to this thread.
func threadTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}
