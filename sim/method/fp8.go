package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "fp8", Family: Quantisation,
		Summary: "floating point of 8 bits a channel",
		Reduces: "bits",
		Paper:   "Micikevicius et al. 2022, arXiv:2209.05433 (the formats)",
		Code:    "vllm-project/vllm docs/features/quantization/quantized_kvcache.md (scale 1 unless calibrated); huggingface/transformers cache_utils.py, Fp8QuantizedLayer (scale=tensor)",
		Params: []Param{
			{Name: "scale", Kind: Choice, Default: "none", Choices: []string{"none", "tensor", "head", "token", "channel"}, Help: "none stores values as they are, cut at the largest code; tensor and head have an f32 scale a layer or KV head from the prompt's largest magnitude, token an f16 scale for each key and value, channel one for each block of tokens"},
			{Name: "format", Kind: Choice, Default: "e4m3", Choices: []string{"e4m3", "e5m2"}, Help: "bits of the exponent and of the fraction"},
			blockParam,
		},
		Variants: []string{"format=e5m2,scale=token", "scale=tensor", "scale=head", "block=8,scale=channel"},
		Format: func(a Args) (format, error) {
			wide := a["format"] == "e5m2"
			if a["scale"] == "token" {
				return alike(kernel.Blockwise(kernel.FP8(wide, kernel.HalfScale))), nil
			}
			return scaled(a, kernel.FP8(wide, kernel.NoScale)), nil
		},
	})
}

// blockParam is the size of a block whose channels have scales.
var blockParam = Param{Name: "block", Kind: Int, Default: "32", Min: 2, Max: 1024, Help: "tokens that share the scales of their channels, with scale=channel; the latest wait in f16 until they are a block"}

// scaled is a format of 8 bits with scales where the parameters of fp8 and int8 put them. Where they come of the prompt,
// what a later token has beyond the largest code is cut.
func scaled(a Args, b *kernel.Blocks) format {
	block := a.Int("block")
	return func(_ Cell, s side) (coding, error) {
		how := coding{layout: kernel.Blockwise(b)}
		switch a["scale"] {
		case "channel":
			how.layout.Tokens, how.layout.Residual = block, kernel.ResidualWindow{Flush: block}
		case "tensor":
			how.layout.Fixed = []float32{b.FixedScale(kernel.Amax(s.largest()))}
			how.meta = 4
		case "head":
			how.layout.Fixed = []float32{1}
			if largest := s.largest(); largest != nil {
				how.layout.Fixed = nil
				for _, most := range largest {
					how.layout.Fixed = append(how.layout.Fixed, b.FixedScale(most))
				}
			}
			how.meta = 4 * int64(s.count)
		}
		return how, nil
	}
}
