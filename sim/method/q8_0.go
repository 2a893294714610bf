package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "q8_0", Family: Quantisation,
		Summary:  "ggml's blocks of 32 channels: 8 bits a channel and an f16 scale, after a Hadamard rotation",
		Reduces:  "bits",
		Paper:    "no paper: ggml block format, and the rotation that llama.cpp puts before a quantised cache",
		Code:     "ggml-org/llama.cpp ggml/src/ggml-quants.c (quantize_row_q8_0_ref), src/llama-kv-cache.cpp",
		Params:   ggmlParams(),
		Variants: []string{"rotate=off"},
		Rotation: ggmlRotation,
		Format:   ggml(kernel.Q8()),
	})
}
