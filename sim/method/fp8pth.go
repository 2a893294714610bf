package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "fp8pth", Family: Quantisation,
		Summary: "E4M3 and one f32 scale for each key and value",
		Reduces: "bits",
		Paper:   "no paper: vLLM's fp8_per_token_head",
		Code:    "vllm-project/vllm triton_quant_kv/_packed_reshape.py",
		Format: func(Args) (format, error) {
			return alike(kernel.Blockwise(kernel.FP8(false, kernel.FloatScale))), nil
		},
	})
}
