package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "mlx", Family: Quantisation,
		Summary:  "2, 4 or 8 bits a channel, an f16 scale and bias for each group of channels",
		Reduces:  "bits",
		Paper:    "no paper: the affine mode of mlx",
		Code:     "ml-explore/mlx mx.quantize; ml-explore/mlx-lm models/cache.py (QuantizedKVCache)",
		Params:   []Param{bitsParam("4", "2", "4", "8"), groupParam("32", "64", "128")},
		Knob:     "bits",
		Variants: []string{"bits=2,group=32", "bits=8,group=32"},
		Traits:   where("group", "64", Large),
		Format: func(a Args) (format, error) {
			bits, group := a.Int("bits"), a.Int("group")
			return grouped(kernel.Blockwise(kernel.MLX(bits, group))), nil
		},
	})
}

// bitsParam is that of formats whose codes have several sizes.
func bitsParam(def string, choices ...string) Param {
	return Param{Name: "bits", Kind: Choice, Default: def, Choices: choices, Help: "bits of a code"}
}

// groupParam is that of formats whose channels share scales.
func groupParam(choices ...string) Param {
	return Param{Name: "group", Kind: Choice, Default: "64", Choices: choices, Help: "channels that share a scale"}
}

// grouped is the format of a layout whose blocks are whole.
func grouped(l kernel.Layout) format {
	return func(c Cell, s side) (coding, error) { return coding{layout: l}, wholeBlocks(c, s, l.Blocks.Width) }
}
