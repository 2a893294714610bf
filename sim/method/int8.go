package method

import "kvgauge/sim/kernel"

func init() {
	Register(Info{
		Name: "int8", Family: Quantisation,
		Summary: "8 bits a channel, one f16 scale for each key and each value",
		Reduces: "bits",
		Paper:   "no paper: symmetric round-to-nearest per token and KV head, as serving engines store it",
		New:     func(Args) (Method, error) { return alike(kernel.Plain(kernel.Int8)), nil },
	})
}
