package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "int8pth", Family: Quantisation,
		Summary: "8 bits a channel and one f32 scale for each key and value",
		Reduces: "bits",
		Paper:   "no paper: vLLM's int8_per_token_head",
		Code:    "vllm-project/vllm triton_quant_kv/_packed_reshape.py",
		Params: []Param{
			{Name: "round", Kind: Choice, Default: "even", Choices: []string{"even", "trunc"}, Help: "to the nearest code, ties to even, or toward zero as a cast without rounding does"},
		},
		Format: func(a Args) (format, error) {
			return alike(kernel.Blockwise(kernel.Tokenwise8(a["round"] == "trunc"))), nil
		},
	})
}
