package method

import (
	"fmt"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "q4_0", Family: Quantisation,
		Summary:  "ggml's blocks of 32 channels: 4 bits a channel and an f16 scale, after a Hadamard rotation",
		Reduces:  "bits",
		Paper:    "no paper: ggml block format, and the rotation that llama.cpp puts before a quantised cache",
		Code:     "ggml-org/llama.cpp ggml/src/ggml-quants.c (quantize_row_q4_0_ref), src/llama-kv-cache.cpp",
		Params:   ggmlParams(),
		Variants: []string{"block=32"},
		Traits:   where("block", "auto", Large),
		New:      func(a Args) (Method, error) { return newGGML(a, kernel.Q4()) },
	})
}

// ggmlParams are those of the ggml formats.
func ggmlParams() []Param {
	return []Param{
		{Name: "rotate", Kind: Choice, Default: "on", Choices: []string{"on", "off"}, Help: "multiply keys, values and queries by a Hadamard matrix"},
		{Name: "block", Kind: AutoInt, Default: "auto", Min: 2, Max: 1 << 12, Help: "channels that are rotated together, a power of two; auto: of keys the largest from 64 on that divides the head, of values 64"},
	}
}

// newGGML is the codec of a ggml block format.
//
// Differs: where the head is no multiple of 64 llama.cpp leaves it as it is; here rotate=on is refused, so that
// a figure never says rotated where nothing was.
func newGGML(a Args, format *kernel.Blocks) (Method, error) {
	rotate, block := a["rotate"] == "on", a.Int("block")
	if block&(block-1) != 0 {
		return nil, fmt.Errorf("block=%d: want a power of two", block)
	}
	return codec(func(c Cell) (cache.Codec, error) {
		d := cache.Codec{K: kernel.Blockwise(format), V: kernel.Blockwise(format)}
		if err := wholeBlocks(c, format.Width); err != nil || !rotate {
			return d, err
		}
		k, v := block, block
		if block == 0 {
			for _, channels := range []int{c.Dim, c.VDim} {
				if channels%64 != 0 {
					return d, fmt.Errorf("rotate=on turns 64 channels or more, of which %d are no multiple: choose block, or rotate=off", channels)
				}
			}
			k, v = c.Dim&-c.Dim, 64
		}
		d.HadamardK, d.HadamardV = &kernel.Hadamard{Block: k}, &kernel.Hadamard{Block: v}
		if c.Latent {
			v = k // the rows are values, too
		}
		if c.Dim%k != 0 || c.VDim%v != 0 {
			return d, wholeBlocks(c, max(k, v))
		}
		return d, nil
	}), nil
}
