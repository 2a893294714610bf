package method

import (
	"fmt"

	"kvgauge/sim/kernel"
)

// ggmlFormat is a block format of ggml, with what the conformance tests try besides its defaults.
func ggmlFormat(name, holds string, b *kernel.Blocks, variant string) Info {
	return Info{
		Name: name, Family: Quantisation,
		Summary: "ggml's blocks of 32 channels: " + holds + ", after a Hadamard rotation",
		Reduces: "bits",
		Paper:   "no paper: ggml block format, and the rotation that llama.cpp puts before a quantised cache",
		Code:    "ggml-org/llama.cpp ggml/src/ggml-quants.c (quantize_row_" + name + "_ref), src/llama-kv-cache.cpp",
		Params: []Param{
			{Name: "block", Kind: AutoInt, Default: "auto", Min: 2, Max: 1 << 12, Help: "channels that are rotated together, a power of two; auto: of keys the largest from 64 on that divides the head, of values 64"},
		},
		Variants: []string{variant},
		Rotation: ggmlRotation,
		Format:   func(Args) (format, error) { return grouped(kernel.Blockwise(b)), nil },
	}
}

// ggmlRotation is that of llama.cpp: where the head is a multiple of 64.
func ggmlRotation(a Args) (engineRotation, error) {
	block := a.Int("block")
	if block&(block-1) != 0 {
		return engineRotation{}, fmt.Errorf("block=%d: want a power of two", block)
	}
	if block > 0 {
		want := fmt.Sprintf("multiples of block=%d", block)
		return engineRotation{block: func(side) (int, string) { return block, want }, fixed: true}, nil
	}
	return engineRotation{block: func(s side) (channels int, want string) {
		switch {
		case s.channels%64 != 0:
		case s.values:
			channels = 64
		default:
			channels = s.channels & -s.channels
		}
		return channels, "multiples of 64"
	}}, nil
}
