package method

import "kvgauge/sim/kernel"

func init() {
	Register(ggmlFormat("q4_0", "4 bits a channel and an f16 scale", kernel.Q4(), "block=32"))
}
