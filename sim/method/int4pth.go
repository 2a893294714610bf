package method

import "kvgauge/sim/kernel"

// Differs: the signs are drawn by the cell's seed, not by the serving stack's generator, so that results agree in
// distribution, not code by code; and rows that come in f32 are not rounded to bf16 before they are rotated.
func init() {
	Register(Info{
		Name: "int4pth", Family: Quantisation,
		Summary:  "4 bits a channel and one f32 for each key and value, after a Hadamard rotation with random signs",
		Reduces:  "bits",
		Paper:    "no paper: vLLM's int4_per_token_head",
		Code:     "vllm-project/vllm triton_quant_kv/_hadamard.py, _packed_reshape.py",
		Rotation: func(Args) (engineRotation, error) { return engineRotation{block: wholeRow, signed: true}, nil },
		Format:   func(Args) (format, error) { return alike(kernel.Blockwise(kernel.Tokenwise4())), nil },
	})
}
