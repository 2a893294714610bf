package kernel

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkEncode is what a value of a row of 64 channels takes to be stored, on one thread.
func BenchmarkEncode(b *testing.B) {
	const n, dim = 1024, 64
	r := rand.New(rand.NewPCG(1, 2))
	rows := make([]float32, n*dim)
	for i := range rows {
		rows[i] = float32(r.NormFloat64())
	}
	for _, f := range []struct {
		name   string
		layout Layout
	}{
		{"f16", Plain(F16)},
		{"bf16", Plain(BF16)},
		{"int8", Plain(Int8)},
		{"int4", Plain(Int4)},
		{"int8_fixed", Layout{Format: Blocked, Blocks: Signed8(), Fixed: []float32{0.05}}},
		{"int8pth", Blockwise(Tokenwise8(false))},
		{"int4pth", Blockwise(Tokenwise4())},
		{"fp8_token", Blockwise(FP8(false, HalfScale))},
		{"q8_0", Blockwise(Q8())},
		{"q5_1", Blockwise(Q5Min())},
		{"q4_0", Blockwise(Q4())},
		{"q4_1", Blockwise(Q4Min())},
		{"iq4_nl", Blockwise(NonLinear())},
		{"mlx_4", Blockwise(MLX(4, 64))},
		{"mlx_2", Blockwise(MLX(2, 64))},
		{"quanto_4", Blockwise(Quanto(4, 64))},
		{"hqq_4", Blockwise(HQQ(4, 64, 2))},
		{"uniform_2", Blockwise(Uniform(2, 32))},
		{"turboquant_4", Blockwise(Codebook(4, dim, true))},
		{"nvfp4", Blockwise(NVFP4(0.01, false))},
		{"mx4", Blockwise(MX4(16))},
	} {
		b.Run(f.name, func(b *testing.B) {
			stored := f.layout.Rows(dim, n)
			for b.Loop() {
				stored.Data, stored.Scale, stored.Min = stored.Data[:0], stored.Scale[:0], stored.Min[:0]
				stored.AppendRows(rows)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n*dim), "ns/value")
		})
	}
	b.Run("hadamard", func(b *testing.B) {
		h := Hadamard{Block: dim}
		for b.Loop() {
			h.Transform(rows)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n*dim), "ns/value")
	})
}
