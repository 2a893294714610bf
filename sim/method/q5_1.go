package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "q5_1", Family: Quantisation,
		Summary:  "ggml's blocks of 32 channels: 5 bits a channel, an f16 scale and an f16 minimum, after a Hadamard rotation",
		Reduces:  "bits",
		Paper:    "no paper: ggml block format, and the rotation that llama.cpp puts before a quantised cache",
		Code:     "ggml-org/llama.cpp ggml/src/ggml-quants.c (quantize_row_q5_1_ref), src/llama-kv-cache.cpp",
		Params:   ggmlParams(),
		Variants: []string{"rotate=off"},
		Rotation: ggmlRotation,
		Format:   ggml(kernel.Q5Min()),
	})
}
