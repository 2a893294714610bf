package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "fp8", Family: Quantisation,
		Summary: "floating point of 8 bits a channel",
		Reduces: "bits",
		Paper:   "Micikevicius et al. 2022, arXiv:2209.05433 (the formats)",
		Code:    "vllm-project/vllm docs/features/quantization/quantized_kvcache.md (scale 1 unless calibrated)",
		Params: []Param{
			{Name: "scale", Kind: Choice, Default: "none", Choices: []string{"none", "token"}, Help: "none stores values as they are, cut at the largest code; token adds an f16 scale for each key and value"},
			{Name: "format", Kind: Choice, Default: "e4m3", Choices: []string{"e4m3", "e5m2"}, Help: "bits of the exponent and of the fraction"},
		},
		Variants: []string{"format=e5m2,scale=token"},
		New: func(a Args) (Method, error) {
			scale := kernel.NoScale
			if a["scale"] == "token" {
				scale = kernel.HalfScale
			}
			return alike(kernel.Blockwise(kernel.FP8(a["format"] == "e5m2", scale))), nil
		},
	})
}
