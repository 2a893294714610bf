package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "int4", Family: Quantisation,
		Summary: "4 bits a channel, an f16 scale and minimum for each 32 channels of a key or value",
		Reduces: "bits",
		Paper:   "no paper: asymmetric round-to-nearest per token in groups of channels, the value side of KIVI (Liu et al. 2024, arXiv:2402.02750, section 3.1)",
		New:     func(Args) (Method, error) { return format{kernel.Int4}, nil },
	})
}
