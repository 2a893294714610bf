package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "mx4", Family: Quantisation,
		Summary: "E2M1 in blocks of 16 channels, a power of two each",
		Reduces: "bits",
		Paper:   "OCP Microscaling Formats 1.0 (blocks of 32); Rouhani et al. 2023, arXiv:2310.10537",
		Code:    "sgl-project/sglang kvfp4_tensor.py (blocks of 16)",
		Params: []Param{
			{Name: "block", Kind: Choice, Default: "16", Choices: []string{"16", "32"}, Help: "channels that share a scale"},
		},
		Variants: []string{"block=32"},
		Format: func(a Args) (format, error) {
			width := a.Int("block")
			l := kernel.Blockwise(kernel.MX4(width))
			return func(c Cell, s side) (coding, error) { return coding{layout: l}, wholeBlocks(c, s, width) }, nil
		},
	})
}
