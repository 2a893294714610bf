package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "quanto", Family: Quantisation,
		Summary:  "2 or 4 bits a channel, a bf16 scale and shift for each group of channels, the latest tokens f16",
		Reduces:  "bits",
		Paper:    "no paper: optimum-quanto, as the quantised cache of transformers runs it",
		Code:     "huggingface/transformers cache_utils.py (QuantizedLayer, QuantoQuantizedLayer); huggingface/optimum-quanto tensor/optimizers/max_optimizer.py",
		Params:   []Param{bitsParam("4", "2", "4"), groupParam("32", "64", "128"), residualParam},
		Knob:     "bits",
		Variants: []string{"bits=2,group=32", "group=32,residual=16"},
		Traits:   where("group", "64", Large),
		Format: func(a Args) (format, error) {
			return anew(a, kernel.Quanto(a.Int("bits"), a.Int("group"))), nil
		},
	})
}

// residualParam is that of the quantised cache of transformers.
var residualParam = Param{Name: "residual", Kind: Int, Default: "128", Min: 1, Max: 1 << 16, Help: "tokens that wait while decoding; with so many all are quantised, those that were before from what they decode to"}

// anew is a format as transformers 5.24 runs it: a prompt is quantised whole, decoded tokens wait, and once there are residual
// of them the whole sequence is quantised again.
//
// Differs: tokens wait in f16, not in the model's bf16.
func anew(a Args, b *kernel.Blocks) format {
	l := kernel.Blockwise(b)
	l.Residual = kernel.ResidualWindow{Flush: a.Int("residual"), Anew: true}
	return grouped(l)
}
