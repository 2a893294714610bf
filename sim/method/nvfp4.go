package method

import (
	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

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
		New:      func(a Args) (Method, error) { return nvFP4{a["fourover6"] == "on", a["global"] == "amax"}, nil },
	})
}

// nvFP4 is block floating point with two levels of scales (NVIDIA; Cook et al. 2025): it stores keys and values with
// global scales of their own.
//
// Differs: the kernel multiplies by approximate reciprocals; here values are divided. The paper on four over six
// puts the largest block scale at 256, so that it can grow by half; here it stands at 448 with and without, so that
// the two differ by that choice alone, and the blocks of the very largest values have only one.
type nvFP4 struct{ fourOverSix, calibrated bool }

// Fit wants whole blocks.
func (nvFP4) Fit(c Cell) (Cell, error) { return c, wholeBlocks(c, 16) }

// Decide takes the global scales from the rows that the prompt leaves.
func (m nvFP4) Decide(_ Cell, v *cache.View) (cache.Decision, error) {
	format := func(heads [][]float32) kernel.Layout {
		global := float32(1)
		if m.calibrated {
			global = kernel.NVFP4Global(heads)
		}
		return kernel.Blockwise(kernel.NVFP4(global, m.fourOverSix))
	}
	return cache.Decision{
		Codec:        &cache.Codec{K: format(v.K), V: format(v.V)},
		MetaPerStore: 8, // two global scales in f32
	}, nil
}
