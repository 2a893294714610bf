package method

import (
	"fmt"

	"kvgauge/sim/kernel"
)

// ggmlParams are those of the ggml formats.
func ggmlParams() []Param {
	return []Param{
		{Name: "block", Kind: AutoInt, Default: "auto", Min: 2, Max: 1 << 12, Help: "channels that are rotated together, a power of two; auto: of keys the largest from 64 on that divides the head, of values 64"},
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

// ggml is a block format of ggml.
func ggml(b *kernel.Blocks) func(Args) (format, error) {
	return func(Args) (format, error) {
		return func(c Cell, s side) (coding, error) {
			return coding{layout: kernel.Blockwise(b)}, wholeBlocks(c, s, b.Width)
		}, nil
	}
}
