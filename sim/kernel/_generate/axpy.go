package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// axpy emits y += p*x for the merge of chunks.
func axpy(g *gen) {
	g.function("axpy", "func(p float32, x, y *float32, n int)", "adds p*x to y, n values, whole steps.")
	var (
		x, y, left = reg.RSI, reg.RDI, reg.RCX
		p, sum     = g.vec(0), g.vec(1)
	)
	g.Load(g.Param("p"), p.AsX())
	g.VBROADCASTSS(p.AsX(), p)
	g.arg("x", x)
	g.arg("y", y)
	g.arg("n", left)
	g.Label("next")
	g.VMOVUPS(Mem{Base: y}, sum)
	g.VFMADD231PS(Mem{Base: x}, p, sum)
	g.VMOVUPS(sum, Mem{Base: y})
	g.ADDQ(U8(4*g.lanes), x)
	g.ADDQ(U8(4*g.lanes), y)
	g.SUBQ(U8(g.lanes), left)
	g.JG(LabelRef("next"))
	g.end()
}

// mul emits dst = x*y, for scales that belong to channels.
func mul(g *gen) {
	g.function("mul", "func(dst, x, y *float32, n int)", "sets dst to x*y, n values, whole steps.")
	var (
		dst, x, y, left = reg.RDI, reg.RSI, reg.RDX, reg.RCX
		v               = g.vec(0)
	)
	g.arg("dst", dst)
	g.arg("x", x)
	g.arg("y", y)
	g.arg("n", left)
	g.Label("next")
	g.VMOVUPS(Mem{Base: x}, v)
	g.VMULPS(Mem{Base: y}, v, v)
	g.VMOVUPS(v, Mem{Base: dst})
	for _, r := range []reg.Register{dst, x, y} {
		g.ADDQ(U8(4*g.lanes), r)
	}
	g.SUBQ(U8(g.lanes), left)
	g.JG(LabelRef("next"))
	g.end()
}
