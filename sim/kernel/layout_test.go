package kernel

import (
	"math/rand/v2"
	"testing"
)

// TestLayoutBytes holds the bytes of rows that are not there against those of rows that are.
func TestLayoutBytes(t *testing.T) {
	keys := Layout{Format: Blocked, Blocks: Codes(2), Tokens: 8, Residual: ResidualWindow{Flush: 16}}
	layouts := map[string]Layout{
		"f32": Plain(F32), "f16": Plain(F16), "int8": Plain(Int8), "int4": Plain(Int4),
		"fp8": Blockwise(FP8(false, HalfScale)), "sketch": Blockwise(Sketched(3, 32, rand.New(rand.NewPCG(1, 2)))),
		"keys": keys, "int4 keys": {Format: Int4, Tokens: 8, Residual: ResidualWindow{Flush: 16}},
		"values":   {Format: Blocked, Blocks: Uniform(2, 8), Residual: ResidualWindow{Flush: 1, Hold: 16}},
		"balanced": {Format: Blocked, Blocks: Balanced(4, true), Tokens: 8, Residual: ResidualWindow{Sinks: 5, Flush: 8}},
		"halves":   {Format: Blocked, Blocks: Balanced(2, false), Tokens: 8, Residual: ResidualWindow{Sinks: 5, Flush: 8}},
	}
	const dim = 32
	for name, l := range layouts {
		rows, room, row := l.Rows(dim, 100), make([]float32, l.Room(dim)), make([]float32, dim)
		for n := range 100 {
			if got, want := l.Bytes(dim, n), rows.Bytes(); got != want {
				t.Errorf("%s: %d rows: %d bytes, want %d", name, n, got, want)
			}
			for c := range row {
				row[c] = float32((n*7+c*3)%11) - 5
			}
			rows.Append(row)
			rows.Flush(room)
		}
	}
}
