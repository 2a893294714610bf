package method

import "kvgauge/sim/kernel"

func init() {
	Register(ggmlFormat("q4_1", "4 bits a channel, an f16 scale and an f16 minimum", kernel.Q4Min(), "rotate=off"))
}
