package method

import (
	"fmt"

	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "kivi", Family: Quantisation,
		Summary: "keys per channel over groups of tokens, values per token over groups of channels, the latest tokens f16",
		Reduces: "bits",
		Paper:   "Liu et al. 2024, arXiv:2402.02750, section 3 and algorithm 1",
		Code:    "jy-yuan/KIVI models/llama_kivi.py, quant/new_pack.py",
		Params: []Param{
			{Name: "bits", Kind: Choice, Default: "2", Choices: []string{"2", "4"}, Help: "bits of a code"},
			{Name: "group", Kind: Int, Default: "32", Min: 2, Max: 1024, Help: "tokens of a key channel, and channels of a value, that share a scale and a minimum"},
			{Name: "residual", Kind: Int, Default: "128", Min: 2, Max: 1 << 16, Help: "tokens that wait in f16: keys until there are so many, values the latest so many; a multiple of group"},
		},
		Knob:     "bits",
		Variants: []string{"group=8,residual=16", "bits=4,residual=32"},
		Combined: []string{
			"mqa+cla+corm:recent=16,window=16+kivi:group=8,residual=16", "streamingllm:recent=20+kivi:group=8,residual=16",
			"streamingllm:roll=on+kivi:group=8,residual=16",
		},
		Format: newKIVI,
	})
}

// newKIVI is the codec of KIVI, keys by channel and values by token (Liu et al. 2024). The key residual is packed as
// a block when it is full, after the step's attention, and so swings between 0 and residual-1 tokens; the value
// residual gives up its oldest token at each step. Rows are quantised from their f16 values, at the prompt's end as
// while decoding.
//
// Groups of tokens are made of the entries that eviction kept, in position order. Where a policy or a ring drops
// single entries while decoding, a group goes on with the entries that are left and the scales that it has: no
// entry is quantised twice. A head that lost entries of a packed group stores where each group ends, 4 bytes.
func newKIVI(a Args) (format, error) {
	bits, group, residual := a.Int("bits"), a.Int("group"), a.Int("residual")
	if residual%group != 0 {
		return nil, fmt.Errorf("residual=%d: want a multiple of group=%d", residual, group)
	}
	keys := kernel.Layout{Format: kernel.Int4}
	values := keys
	if bits != 4 {
		keys = kernel.Blockwise(kernel.Codes(bits))
	}
	if bits != 4 || group != kernel.GroupDim {
		values = kernel.Blockwise(kernel.Uniform(bits, group))
	}
	keys.Tokens, keys.Residual = group, kernel.ResidualWindow{Flush: residual}
	values.Residual = kernel.ResidualWindow{Flush: 1, Hold: residual}
	return func(_ Cell, s side) (coding, error) {
		switch {
		case !s.values:
			return coding{layout: keys}, nil
		case s.channels%group != 0:
			return coding{}, fmt.Errorf("values of %d channels are not whole groups of %d", s.channels, group)
		}
		return coding{layout: values}, nil
	}, nil
}
