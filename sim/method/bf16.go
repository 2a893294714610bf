package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "bf16", Family: Quantisation,
		Summary: "16 bits a channel, 8 of them the exponent: the range of f32",
		Reduces: "bits",
		Paper:   "no paper: the upper half of IEEE 754 binary32, rounded to nearest even",
		New:     func(Args) (Method, error) { return alike(kernel.Plain(kernel.BF16)), nil },
	})
}
