package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// roofline emits what measures the machine: a stream of loads, and multiply-adds on registers.
func roofline(g *gen) {
	g.function("read", "func(p *byte, n int) uint64", "reads n bytes, a multiple of 512, and returns the exclusive or of their words.",
		"for i := range n/8 {",
		"\tx ^= the word at p[8*i]",
		"}")
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
	x, t := g.vec(0), g.vec(1)
	for i := 1; i < 4; i++ {
		if g.wide() {
			g.VPXORQ(g.vec(i), x, x)
		} else {
			g.VPXOR(g.vec(i), x, x)
		}
	}
	if g.wide() {
		g.VEXTRACTI64X4(U8(1), x, t.AsY())
		g.VPXOR(t.AsY(), x.AsY(), x.AsY())
	}
	g.VEXTRACTI128(U8(1), x.AsY(), t.AsX())
	g.VPXOR(t.AsX(), x.AsX(), x.AsX())
	g.VPSRLDQ(U8(8), x.AsX(), t.AsX())
	g.VPXOR(t.AsX(), x.AsX(), x.AsX())
	g.VMOVQ(x.AsX(), reg.RAX)
	g.Store(reg.RAX, g.ReturnIndex(0))
	g.end()

	// Twelve chains hide a latency of up to six cycles at two a cycle.
	const chains = 12
	g.function("fma", "func(n int)", "does n rounds of 12 independent multiply-adds on whole registers.",
		"for range n {",
		fmt.Sprintf("\tfor j := range 12*%d {", g.lanes),
		"\t\tacc[j] += x * x",
		"\t}",
		"}")
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
