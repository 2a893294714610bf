package method

import "kvgauge/sim/kernel"

func init() {
	Register(ggmlFormat("q5_0", "5 bits a channel and an f16 scale", kernel.Q5(), "rotate=off"))
}
