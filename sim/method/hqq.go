package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "hqq", Family: Quantisation,
		Summary:  "2, 4 or 8 bits a channel, a bf16 scale and zero for each group of channels, the zero fitted, the latest tokens f16",
		Reduces:  "bits",
		Paper:    "Badri and Shaji 2023, Half-Quadratic Quantization of Large Machine Learning Models (mobiusml.github.io/hqq_blog)",
		Code:     "huggingface/transformers cache_utils.py (QuantizedLayer, HQQQuantizedLayer) with axis_key=axis_value=1, as its documentation advises; dropbox/hqq core/quantize.py, core/optimize.py",
		Params:   []Param{bitsParam("4", "2", "4", "8"), groupParam("32", "64", "128"), residualParam},
		Knob:     "bits",
		Variants: []string{"bits=2,group=32", "bits=8,group=32,residual=16"},
		Traits:   where("group", "64", Large),
		Format:   newHQQ,
	})
}

// newHQQ fits the zeros of a layer's keys together, and those of its values.
//
// Differs: how often zeros are moved is found on the prompt, and is the same when all is quantised again.
func newHQQ(a Args) (format, error) {
	bits, group := a.Int("bits"), a.Int("group")
	return func(c Cell, s side) (coding, error) {
		if err := wholeBlocks(c, s, group); err != nil {
			return coding{}, err
		}
		return anew(a, kernel.HQQ(bits, group, kernel.HQQRounds(s.stored(), bits, group)))(c, s)
	}, nil
}
