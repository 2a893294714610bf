package method

import "kvgauge/sim/kernel"

func init() {
	Register(ggmlFormat("q5_1", "5 bits a channel, an f16 scale and an f16 minimum", kernel.Q5Min(), "rotate=off"))
}
