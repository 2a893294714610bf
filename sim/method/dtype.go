package method

import (
	"slices"

	"kvgauge/sim/kernel"
)

// DType is the type that a model's own cache has its numbers in.
type DType struct {
	Name   string
	Model  string // how configurations call it
	Bytes  int    // of a number
	Layout kernel.Layout
}

// DTypes are those that a cache can be planned in.
func DTypes() []DType {
	return []DType{
		{"bf16", "bfloat16", 2, kernel.Plain(kernel.BF16)},
		{"f16", "float16", 2, kernel.Plain(kernel.F16)},
		{"f32", "float32", 4, kernel.Plain(kernel.F32)},
		{"fp8", "float8_e4m3fn", 1, kernel.Blockwise(kernel.FP8(false, kernel.NoScale))},
	}
}

// DTypeOf is that of a model by the name that its configuration has for it: bf16, what most models are published in, where
// it has none.
func DTypeOf(model string) DType {
	all := DTypes()
	return all[max(0, slices.IndexFunc(all, func(d DType) bool { return d.Model == model }))]
}
