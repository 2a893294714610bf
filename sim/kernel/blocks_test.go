package kernel

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// layouts are the layouts of Blocked rows, for rows of dim channels.
func layouts(dim int) map[string]Layout {
	return map[string]Layout{
		"e4m3": Blockwise(FP8(false, NoScale)), "e5m2": Blockwise(FP8(true, NoScale)),
		"e4m3 f16": Blockwise(FP8(false, HalfScale)), "e5m2 f32": Blockwise(FP8(true, FloatScale)),
		"nvfp4": Blockwise(NVFP4(0.01, false)), "four over six": Blockwise(NVFP4(0.01, true)),
		"mx4": Blockwise(MX4(16)), "mx4 of 32": Blockwise(MX4(32)), "mx4 of 64": Blockwise(MX4(64)), "mx4 row": Blockwise(MX4(dim)),
		"q4": Blockwise(Q4()), "q8": Blockwise(Q8()),
		"q5": Blockwise(Q5()), "q4 min": Blockwise(Q4Min()), "q5 min": Blockwise(Q5Min()), "iq4 nl": Blockwise(NonLinear()),
		"mlx 2": Blockwise(MLX(2, 32)), "mlx 4": Blockwise(MLX(4, 32)), "mlx 8": Blockwise(MLX(8, 64)), "quanto 4": Blockwise(Quanto(4, 32)), "hqq 4": Blockwise(HQQ(4, 32, 2)),
		"zeros": Blockwise(Zeros8Row()), "fixed e4m3": {Format: Blocked, Blocks: FP8(false, NoScale), Fixed: []float32{0.01}}, "fixed 8": {Format: Blocked, Blocks: Signed8(), Fixed: []float32{0.05}},
		"uniform 5": Blockwise(Uniform(5, 48)), "uniform 8": Blockwise(Uniform(8, 64)), "uniform 8 row": Blockwise(Uniform(8, 0)),
		"uniform 2": Blockwise(Uniform(2, 32)), "uniform 3": Blockwise(Uniform(3, 16)), "uniform 4": Blockwise(Uniform(4, 24)), "uniform 4 of 64": Blockwise(Uniform(4, 64)),
		"uniform 2 of 64": Blockwise(Uniform(2, 64)), "uniform 3 of 32": Blockwise(Uniform(3, 32)), "uniform 4 of 16": Blockwise(Uniform(4, 16)), "q4 row": Blockwise(q4Row()),
		"tokenwise 4": Blockwise(Tokenwise4()), "tokenwise 8": Blockwise(Tokenwise8(false)), "tokenwise 8 cut": Blockwise(Tokenwise8(true)),
		"codebook 2": Blockwise(Codebook(2, dim, false)), "codebook 3": Blockwise(Codebook(3, dim, true)), "codebook 4": Blockwise(Codebook(4, dim, true)),
		"range 2": Blockwise(Range(2)), "range 3": Blockwise(Range(3)), "range 4": Blockwise(Range(4)),
	}
}

// q4Row is Q4 with one scale a row.
func q4Row() *Blocks {
	b := Q4()
	b.Width = 0
	return b
}

// laidOut is a problem whose rows, drawn from values, are in a layout.
func laidOut(k, v Layout, values fill, heads, kDim, vDim, n int) *problem {
	p := newProblem(F32, values, heads, kDim, vDim, n)
	refill := func(rows *Rows, l Layout) {
		next, row, room := l.Rows(rows.Dim, n), make([]float32, rows.Dim), make([]float32, l.Room(rows.Dim))
		for i := range n {
			rows.Row(i, row)
			next.Append(row)
			next.Flush(room)
		}
		*rows = next
	}
	refill(&p.k, k)
	refill(&p.v, v)
	return p
}

// TestAttendBlocks compares every path with float64 attention over what the rows decode to: keys and values of one layout,
// and of two.
func TestAttendBlocks(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, c := range []struct{ heads, kDim, vDim, n int }{
			{1, 16, 16, 3},
			{5, 64, 64, 66},
			{2, 128, 128, 200},
			{3, 40, 72, 65},
			{9, 96, 32, 130},
			{1, 7, 5, 64},
			{7, 256, 128, 70},
			{1, 72, 232, 65},
			{2, 104, 160, 67},
			{4, 160, 104, 67},
			{6, 33, 65, 130},
			{8, 64, 96, 5},
			{17, 64, 40, 66},
		} {
			keys, values := layouts(c.kDim), layouts(c.vDim)
			names := slices.Sorted(maps.Keys(keys))
			for i, name := range names {
				other := names[(i+c.n)%len(names)]
				t.Run(fmt.Sprintf("%s/%dx%d", name, c.kDim, c.vDim), func(t *testing.T) {
					for _, f := range []string{"random", "zero", "equal logits"} {
						laidOut(keys[name], values[name], fills[f], c.heads, c.kDim, c.vDim, c.n).check(t, c.heads)
					}
				})
				t.Run(fmt.Sprintf("%s/%s/%dx%d", name, other, c.kDim, c.vDim), func(t *testing.T) {
					laidOut(keys[name], values[other], fills["random"], c.heads, c.kDim, c.vDim, c.n).check(t, c.heads)
				})
			}
		}
	})
}

// grouped are layouts whose rows stay in a residual window until there is a group, as keys and as values.
var grouped = map[string][2]Layout{
	"channels of 8": {
		{Format: Blocked, Blocks: FP8(false, NoScale), Tokens: 16, Residual: ResidualWindow{Flush: 16}},
		{Format: Blocked, Blocks: Signed8(), Tokens: 16, Residual: ResidualWindow{Flush: 16}},
	},
	"open": {
		{Format: Blocked, Blocks: Zeros8(), Tokens: 32, Open: true},
		{Format: Blocked, Blocks: Zeros8Row()},
	},
	"anew": {
		{Format: Blocked, Blocks: Quanto(4, 8), Residual: ResidualWindow{Flush: 16, Anew: true}},
		{Format: Blocked, Blocks: HQQ(2, 8, 3), Residual: ResidualWindow{Flush: 16, Anew: true}},
	},
	"kivi 2": {
		{Format: Blocked, Blocks: Codes(2), Tokens: 8, Residual: ResidualWindow{Flush: 16}},
		{Format: Blocked, Blocks: Uniform(2, 8), Residual: ResidualWindow{Flush: 1, Hold: 16}},
	},
	"kivi 2 of 32": {
		{Format: Blocked, Blocks: Codes(2), Tokens: 32, Residual: ResidualWindow{Flush: 32}},
		{Format: Blocked, Blocks: Uniform(2, 32), Residual: ResidualWindow{Flush: 1, Hold: 32}},
	},
	"kivi 4": {
		{Format: Int4, Tokens: 32, Residual: ResidualWindow{Flush: 32}},
		{Format: Int4, Residual: ResidualWindow{Flush: 1, Hold: 32}},
	},
	"channels": {
		{Format: Int4, Tokens: 24, Residual: ResidualWindow{Flush: 24}},
		{Format: Int4, Tokens: 24, Residual: ResidualWindow{Flush: 24}},
	},
	"tiles": {
		{Format: Blocked, Blocks: Balanced(4, true), Tokens: 16, Residual: ResidualWindow{Sinks: 10, Flush: 16}},
		{Format: Blocked, Blocks: Balanced(2, false), Tokens: 16, Residual: ResidualWindow{Sinks: 10, Flush: 16}},
	},
	"channels of 4": {
		{Format: Blocked, Blocks: Codes(4), Tokens: 16, Residual: ResidualWindow{Flush: 16}},
		{Format: Blocked, Blocks: Codes(4), Tokens: 16, Residual: ResidualWindow{Flush: 16}},
	},
	"channels of 3": {
		{Format: Blocked, Blocks: Codes(3), Tokens: 5, Residual: ResidualWindow{Flush: 5}},
		{Format: Blocked, Blocks: Codes(3), Tokens: 5, Residual: ResidualWindow{Flush: 5}},
	},
}

// TestAttendResidualWindow compares chains of quantised rows and a residual window, before the first group, at its bound
// and after it, whole and with rows evicted.
func TestAttendResidualWindow(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for name, l := range grouped {
			for _, n := range []int{1, 15, 16, 17, 33, 64, 65, 67, 100, 102, 300, 301} {
				t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
					dims := [2]int{72, 40}
					if n%2 == 0 {
						dims = [2]int{128, 128}
					}
					heads := 1 + n%5
					p := laidOut(l[0], l[1], fills["random"], heads, dims[0], dims[1], n)
					if p.k.Len() != n || p.v.Len() != n {
						t.Fatalf("%d keys and %d values, want %d", p.k.Len(), p.v.Len(), n)
					}
					p.check(t, heads)
					var drop []int32
					for i := range n {
						if i%7 == 3 || i >= 40 && i < 50 {
							drop = append(drop, int32(i))
						}
					}
					p.k.Evict(drop)
					p.v.Evict(drop)
					p.check(t, heads)
				})
			}
		}
	})
}

// TestRemove: what stays decodes to what it did before, and goes on taking rows.
func TestEvict(t *testing.T) {
	all := map[string]Layout{"f16": Plain(F16), "int8": Plain(Int8), "int4": Plain(Int4), "q4": Blockwise(Q4()), "sketch": Blockwise(Sketched(3, 40, rand.New(rand.NewPCG(1, 2))))}
	for name, l := range grouped {
		all[name+" keys"], all[name+" values"] = l[0], l[1]
	}
	for name, l := range all {
		rapid.Check(t, func(t *rapid.T) {
			const dim = 40
			r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
			rows, room := l.Rows(dim, 200), make([]float32, l.Room(dim))
			row := make([]float32, dim)
			add := func() {
				for c := range row {
					row[c] = float32(r.NormFloat64())
				}
				rows.Append(row)
				rows.Flush(room)
			}
			for range rapid.IntRange(1, 100).Draw(t, "rows") {
				add()
			}
			for range 3 {
				var drop []int32
				var want [][]float32
				for i := range rows.Len() {
					if rapid.Bool().Draw(t, "drop") {
						drop = append(drop, int32(i))
						continue
					}
					rows.Row(i, row)
					want = append(want, slices.Clone(row))
				}
				rows.Evict(drop)
				if rows.Len() != len(want) {
					t.Fatalf("%s: %d rows, want %d", name, rows.Len(), len(want))
				}
				for i, w := range want {
					if rows.Row(i, row); !slices.Equal(row, w) {
						t.Fatalf("%s: row %d is %v, was %v", name, i, row, w)
					}
				}
				add()
			}
		})
	}
}

// TestBlockBytes holds the bytes of a row against the formulas of the methods.
func TestBlockBytes(t *testing.T) {
	for _, d := range []int{16, 32, 64, 128} {
		for _, tt := range []struct {
			name string
			l    Layout
			want int
		}{
			{"fp8", Blockwise(FP8(false, NoScale)), d},
			{"fp8 token", Blockwise(FP8(true, HalfScale)), d + 2},
			{"fp8pth", Blockwise(FP8(false, FloatScale)), d + 4},
			{"int8pth", Blockwise(Tokenwise8(false)), d + 4},
			{"int4pth", Blockwise(Tokenwise4()), d/2 + 4},
			{"nvfp4", Blockwise(NVFP4(1, true)), d/2 + d/16},
			{"mx4", Blockwise(MX4(16)), d/2 + d/16},
			{"mx4 of 32", Blockwise(MX4(32)), d/2 + (d+31)/32},
			{"q4_0", Blockwise(Q4()), d/2 + 2*((d+31)/32)},
			{"q8_0", Blockwise(Q8()), d + 2*((d+31)/32)},
			{"q5_0", Blockwise(Q5()), d/2 + d/8 + 2*((d+31)/32)},
			{"q5_1", Blockwise(Q5Min()), d/2 + d/8 + 4*((d+31)/32)},
			{"iq4_nl", Blockwise(NonLinear()), d/2 + 2*((d+31)/32)},
			{"int4 of 64", Blockwise(Uniform(4, 64)), d/2 + 4*((d+63)/64)},
			{"kivi values", Blockwise(Uniform(2, 16)), d/4 + 4*d/16},
			{"turboquant keys", Blockwise(Codebook(3, d, true)), (3*d+7)/8 + 2},
			{"turboquant keys with a sketch", Blockwise(Sketched(3, d, rand.New(rand.NewPCG(1, 2)))), (3*d+7)/8 + 4},
			{"turboquant values", Blockwise(Range(3)), (3*d+7)/8 + 4},
		} {
			rows := tt.l.Rows(d, 3)
			for range 3 {
				rows.Append(make([]float32, d))
			}
			if got := rows.Bytes(); got != int64(3*tt.want) || rows.RowBytes() != int64(tt.want) || tt.l.Blocks.RowBytes(d) != tt.want {
				t.Errorf("%s of %d channels: %d bytes in 3 rows, want %d", tt.name, d, got, 3*tt.want)
			}
			if got := rows.ScaleBytes(); got != int64(3*(tt.want-codeBytes(tt.l.Blocks.Bits, d))) {
				t.Errorf("%s of %d channels: %d bytes of scales", tt.name, d, got)
			}
		}
	}
}

// TestPublishedBytes: KIVI with 2 bits on Llama-2-7B at 4096 tokens, residual 128, has 196608 bytes of keys and 223232
// of values a head: all heads 429916160, where f16 has 2 GiB.
func TestPublishedBytes(t *testing.T) {
	const dim, n, residual = 128, 4096, 128
	for _, tt := range []struct {
		name string
		l    Layout
		want int64
	}{
		{"keys", Layout{Format: Blocked, Blocks: Codes(2), Tokens: 32, Residual: ResidualWindow{Flush: residual}}, 196608},
		{"values", Layout{Format: Blocked, Blocks: Uniform(2, 32), Residual: ResidualWindow{Flush: 1, Hold: residual}}, 223232},
	} {
		rows, row, room := tt.l.Rows(dim, n), make([]float32, dim), make([]float32, tt.l.Room(dim))
		for range n {
			rows.Append(row)
			rows.Flush(room)
		}
		if rows.Bytes() != tt.want {
			t.Errorf("%s: %d bytes, want %d", tt.name, rows.Bytes(), tt.want)
		}
	}
}

// TestPacking puts and takes codes of every width and length.
func TestPacking(t *testing.T) {
	for _, bits := range []int{2, 3, 4, 8} {
		table := counting(bits)
		for dim := 1; dim < 100; dim++ {
			codes, want, got := make([]byte, codeBytes(bits, dim)), make([]float32, dim), make([]float32, dim)
			for i := range dim {
				c := byte(i*7+dim) & byte(len(table)-1)
				putCode(codes, bits, i, dim, c)
				want[i] = float32(c)
			}
			if lookUp(codes, bits, dim, 0, table, got); !slices.Equal(got, want) {
				t.Fatalf("%d bits, %d channels: %v, want %v", bits, dim, got, want)
			}
			if most := (dim*bits + 7) / 8; dim%8 == 0 && len(codes) != most || len(codes) > most+1 {
				t.Errorf("%d bits, %d channels: %d bytes", bits, dim, len(codes))
			}
		}
	}
}
