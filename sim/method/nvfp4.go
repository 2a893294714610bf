package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "nvfp4", Family: Quantisation,
		Summary: "E2M1 in blocks of 16 channels, an E4M3 scale each, a global scale for a layer's keys and one for its values",
		Reduces: "bits",
		Paper:   "Cook et al. 2025, arXiv:2512.02010 (four over six); the format is NVIDIA's",
		Code:    "vllm-project/vllm nvfp4_kv_cache_kernels.cu, nvfp4_utils.cuh",
		Params: []Param{
			{Name: "fourover6", Kind: Choice, Default: "off", Choices: []string{"on", "off"}, Help: "let the largest magnitude of a block stand at 4 where that has the smaller squared error"},
			{Name: "global", Kind: Choice, Default: "amax", Choices: []string{"amax", "1"}, Help: "the global scale: the prompt's largest magnitude stands at the end of the range, or 1 as a checkpoint without scales has it"},
		},
		Variants: []string{"fourover6=on", "global=1"},
		Combined: []string{"snapkv+nvfp4"},
		Format:   newNVFP4,
	})
}

// newNVFP4 is block floating point with two levels of scales (NVIDIA; Cook et al. 2025): keys and values have global
// scales of their own, of the rows that the prompt leaves.
//
// Differs: the kernel multiplies by approximate reciprocals; here values are divided. The paper on four over six
// puts the largest block scale at 256, so that it can grow by half; here it stands at 448 with and without, so that
// the two differ by that choice alone, and the blocks of the very largest values have only one.
func newNVFP4(a Args) (format, error) {
	fourOverSix, calibrated := a["fourover6"] == "on", a["global"] == "amax"
	return func(c Cell, s side) (coding, error) {
		global := float32(1)
		if calibrated {
			global = kernel.NVFP4Global(s.largest())
		}
		return coding{layout: kernel.Blockwise(kernel.NVFP4(global, fourOverSix)), meta: 4}, wholeBlocks(c, s, 16)
	}, nil
}
