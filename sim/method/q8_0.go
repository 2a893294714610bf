package method

import "kvgauge/sim/kernel"

func init() {
	Register(ggmlFormat("q8_0", "8 bits a channel and an f16 scale", kernel.Q8(), "rotate=off"))
}
