package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "f16", Family: Quantisation,
		Summary:  "16 bits a channel: what every other method stores unless it says otherwise",
		Reduces:  "bits",
		Paper:    "no paper: IEEE 754 binary16",
		Lossless: []string{""},
		Format:   func(Args) (format, error) { return alike(kernel.Plain(kernel.F16)), nil },
	})
}
