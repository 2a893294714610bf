package method

import "kvgauge/sim/kernel"

func init() {
	Register(ggmlFormat("iq4_nl", "4 bits a channel that name unevenly spaced values, and an f16 scale", kernel.NonLinear(), "rotate=off"))
}
