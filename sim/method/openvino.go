package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "openvino", Family: Quantisation,
		Summary: "8 bits a channel, keys with an f32 scale and zero for each channel of 32 tokens, values for each token",
		Reduces: "bits",
		Paper:   "no paper: OpenVINO's u8 cache",
		Code:    "openvinotoolkit/openvino intel_cpu nodes/kernels/scaled_attn/attn_quant.cpp (quantize_by_channel, quant_u8); GenAI 2026.4 asks for it",
		Params: []Param{
			{Name: "block", Kind: Int, Default: "32", Min: 2, Max: 1024, Help: "tokens that share the scales of their key channels; those of the latest block are coded anew with each"},
		},
		Variants: []string{"block=8"},
		Combined: []string{"corm:recent=16,window=16+openvino:block=8", "streamingllm:recent=20+openvino:block=8"},
		Format:   newOpenVINO,
	})
}

// newOpenVINO is OpenVINO's codec for keys by channel and values by token. The prompt's blocks are coded at once; a decoded token
// joins the latest block, whose rows are decoded and coded again.
//
// Differs: the cache of the latest block is counted by its tokens, where OpenVINO has the whole block.
func newOpenVINO(a Args) (format, error) {
	keys := kernel.Layout{Format: kernel.Blocked, Blocks: kernel.Zeros8(), Tokens: a.Int("block"), Open: true}
	values := kernel.Blockwise(kernel.Zeros8Row())
	return func(_ Cell, s side) (coding, error) {
		if s.values {
			return coding{layout: values}, nil
		}
		return coding{layout: keys}, nil
	}, nil
}
