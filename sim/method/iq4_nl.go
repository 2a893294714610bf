package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "iq4_nl", Family: Quantisation,
		Summary:  "ggml's blocks of 32 channels: 4 bits a channel that name unevenly spaced values, and an f16 scale, after a Hadamard rotation",
		Reduces:  "bits",
		Paper:    "no paper: ggml block format, and the rotation that llama.cpp puts before a quantised cache",
		Code:     "ggml-org/llama.cpp ggml/src/ggml-quants.c (quantize_row_iq4_nl_ref), src/llama-kv-cache.cpp",
		Params:   ggmlParams(),
		Variants: []string{"rotate=off"},
		Rotation: ggmlRotation,
		Format:   ggml(kernel.NonLinear()),
	})
}
