package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// half emits the conversions between binary16 and binary32, of whole steps. What widen reads is followed by
// what it reads next, the scales of the next block of rows: it brings that into the cache meanwhile.
func half(g *gen) {
	g.function("widen", "func(dst *float32, src *uint16, n int)", "converts n values, whole steps, to binary32.",
		"for i := range n {",
		"\tdst[i] = halfs[src[i]]",
		"}")
	g.arg("n", reg.R8)
	g.convert(reg.RSI, reg.RDI, func() {
		g.PREFETCHT0(Mem{Base: reg.RSI, Index: reg.R8, Scale: 2})
		for v := range step / g.lanes {
			g.VCVTPH2PS(Mem{Base: reg.RSI, Disp: 2 * v * g.lanes}, g.vec(v))
			g.VMOVUPS(g.vec(v), Mem{Base: reg.RDI, Disp: 4 * v * g.lanes})
		}
		g.ADDQ(U8(2*step), reg.RSI)
		g.ADDQ(U8(4*step), reg.RDI)
	})
	g.end()
	g.function("narrow", "func(dst *byte, src *float32, n int) (infinite uint32)", "rounds n values, whole steps, to binary16, ties to even, and returns other than 0 where one is infinite or a NaN.",
		"for i := range n {",
		"\tdst[i] = Half(src[i])",
		"\tinfinite |= dst[i] is infinite or a NaN",
		"}")
	// The halves of a register take half of it.
	const top, found = 14, 15
	half := func(i int) reg.VecPhysical {
		if g.wide() {
			return g.vec(i).AsY().(reg.VecPhysical)
		}
		return g.vec(i).AsX().(reg.VecPhysical)
	}
	g.VMOVUPS(g.word("exponent", 0x7c007c00), g.vec(top))
	g.zero(g.vec(found))
	g.convert(reg.RSI, reg.RDI, func() {
		for v := range step / g.lanes {
			g.VMOVUPS(Mem{Base: reg.RSI, Disp: 4 * v * g.lanes}, g.vec(v))
			g.VCVTPS2PH(U8(0), g.vec(v), half(v))
			g.VMOVUPS(half(v), Mem{Base: reg.RDI, Disp: 2 * v * g.lanes})
			g.VPAND(half(top), half(v), half(v))
			g.VPCMPEQW(half(top), half(v), half(v))
			g.VPOR(half(v), half(found), half(found))
		}
		g.ADDQ(U8(4*step), reg.RSI)
		g.ADDQ(U8(2*step), reg.RDI)
	})
	g.VPMOVMSKB(half(found), reg.EAX)
	g.Store(reg.EAX, g.ReturnIndex(0))
	g.end()
}

// convert emits a loop over whole steps.
func (g *gen) convert(src, dst reg.Register, body func()) {
	g.arg("src", src)
	g.arg("dst", dst)
	g.arg("n", reg.RCX)
	g.Label("next")
	g.CMPQ(reg.RCX, U8(step))
	g.JLT(LabelRef("done"))
	body()
	g.SUBQ(U8(step), reg.RCX)
	g.JMP(LabelRef("next"))
	g.Label("done")
}
