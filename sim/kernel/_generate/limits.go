package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// limits emits what measures the machine: a stream of loads, and multiply-adds on registers.
func limits(g *gen) {
	g.function("read", "func(p *byte, n int) uint64", "reads n bytes, a multiple of 512, and returns the exclusive or of their first words, so that nothing is left out.")
	g.arg("p", reg.RSI)
	g.arg("n", reg.RCX)
	size := 4 * g.lanes // of a register
	for i := range 4 {
		g.zero(g.vec(i))
	}
	g.Label("next")
	for off := 0; off < 512; off += size {
		acc := g.vec(off / size % 4)
		if off%64 == 0 {
			g.PREFETCHT1(Mem{Base: reg.RSI, Disp: off + 4096})
		}
		if g.wide() {
			g.VPXORQ(Mem{Base: reg.RSI, Disp: off}, acc, acc)
		} else {
			g.VPXOR(Mem{Base: reg.RSI, Disp: off}, acc, acc)
		}
	}
	g.ADDQ(I32(512), reg.RSI)
	g.SUBQ(I32(512), reg.RCX)
	g.JG(LabelRef("next"))
	for i := 1; i < 4; i++ {
		g.VXORPS(g.vec(i).AsY(), g.vec(0).AsY(), g.vec(0).AsY())
	}
	g.VMOVQ(g.vec(0).AsX(), reg.RAX)
	g.Store(reg.RAX, g.ReturnIndex(0))
	g.end()

	// Twelve chains hide a latency of up to six cycles at two a cycle.
	const chains = 12
	g.function("fma", "func(n int)", "does n rounds of 12 independent multiply-adds on whole registers.")
	g.arg("n", reg.RCX)
	for i := range chains + 1 {
		g.zero(g.vec(i))
	}
	g.Label("next")
	for i := range chains {
		g.VFMADD231PS(g.vec(chains), g.vec(chains), g.vec(i))
	}
	g.DECQ(reg.RCX)
	g.JNZ(LabelRef("next"))
	g.end()
}
