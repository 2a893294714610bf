package main

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// vector emits what works on single vectors.
func vector(g *gen) {
	axpy(g)
	bounds(g)
	mul(g)
	dot(g)
	squares(g)
	sigmoid(g)
	half(g)
}

// axpy emits y += p*x for the merge of chunks.
func axpy(g *gen) {
	g.function("axpy", "func(p float32, x, y *float32, n int)", "adds p*x to y, n values, whole steps.",
		"for i := range n {", "\ty[i] += p * x[i]", "}")
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

// bounds emits y = max(x, y), for what is important to any head of a group, and y = min(x, y).
func bounds(g *gen) {
	for _, f := range []struct {
		name, doc, loop string
		take            func(ops ...Op)
	}{
		{"maxInto", "raises y to x where x is larger, n values, whole steps.", "max", g.VMAXPS},
		{"minInto", "lowers y to x where x is smaller, n values, whole steps.", "min", g.VMINPS},
	} {
		g.function(f.name, "func(x, y *float32, n int)", f.doc, "for i := range n {", "\ty[i] = "+f.loop+"(x[i], y[i])", "}")
		var (
			x, y, left = reg.RSI, reg.RDI, reg.RCX
			v          = g.vec(0)
		)
		g.arg("x", x)
		g.arg("y", y)
		g.arg("n", left)
		g.Label("next")
		g.VMOVUPS(Mem{Base: y}, v)
		f.take(Mem{Base: x}, v, v)
		g.VMOVUPS(v, Mem{Base: y})
		g.ADDQ(U8(4*g.lanes), x)
		g.ADDQ(U8(4*g.lanes), y)
		g.SUBQ(U8(g.lanes), left)
		g.JG(LabelRef("next"))
		g.end()
	}
}

// mul emits dst = x*y, for scales that belong to channels.
func mul(g *gen) {
	g.function("mul", "func(dst, x, y *float32, n int)", "sets dst to x*y, n values, whole steps.",
		"for i := range n {", "\tdst[i] = x[i] * y[i]", "}")
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

// dot emits the inner product of two vectors, in four sums that hide the latency of a multiply-add, as far as
// there are four registers, and in one for what is left.
func dot(g *gen) {
	g.function("dot", "func(x, y *float32, n int) float32", "returns the inner product of n values, whole steps.",
		"for i := range n {", "\tsum += x[i] * y[i]", "}")
	var (
		x, y, left = reg.RSI, reg.RDX, reg.RCX
		sums       = g.vecs(0, 4)
		v          = g.vec(4)
	)
	g.arg("x", x)
	g.arg("y", y)
	g.arg("n", left)
	g.sumProducts(sums, v, left, x, func(m Mem, v, sum reg.VecPhysical) {
		m.Base = y
		g.VFMADD231PS(m, v, sum)
	}, func(bytes int) { g.ADDQ(I32(bytes), y) })
	g.Store(sums[0].AsX(), g.ReturnIndex(0))
	g.end()
}

// squares emits the inner products of rows with themselves, rounded as dot rounds them.
func squares(g *gen) {
	g.function("squares", "func(sums *float64, x *float32, stride, rows, n int)", "adds to sums the squares of n values, whole steps, of each row; the stride is in bytes.",
		"for r := range rows {", "\tfor i := range n {", "\t\tsums[r] += x[r][i] * x[r][i]", "\t}", "}")
	var (
		to, row, stride, rows = reg.RDI, reg.R8, reg.R9, reg.R10
		x, left               = reg.RSI, reg.RCX
		sums                  = g.vecs(0, 4)
		v                     = g.vec(4)
	)
	g.arg("sums", to)
	g.arg("x", row)
	g.arg("stride", stride)
	g.arg("rows", rows)
	g.Label("row")
	g.MOVQ(row, x)
	g.arg("n", left)
	g.sumProducts(sums, v, left, x, func(_ Mem, v, sum reg.VecPhysical) { g.VFMADD231PS(v, v, sum) }, func(int) {})
	g.VCVTSS2SD(sums[0].AsX(), sums[0].AsX(), sums[0].AsX())
	g.VADDSD(Mem{Base: to}, sums[0].AsX(), sums[0].AsX())
	g.VMOVSD(sums[0].AsX(), Mem{Base: to})
	g.ADDQ(U8(8), to)
	g.ADDQ(stride, row)
	g.DECQ(rows)
	g.JNZ(LabelRef("row"))
	g.end()
}

// sumProducts emits a sum of products over left values from x on, in the lowest lane of sums[0]: add adds those of a register
// v, loaded from m, to a sum, and next steps over what add reads besides.
func (g *gen) sumProducts(sums []reg.VecPhysical, v reg.VecPhysical, left, x reg.Register, add func(m Mem, v, sum reg.VecPhysical), next func(bytes int)) {
	for _, s := range sums {
		g.zero(s)
	}
	for _, loop := range []struct {
		name, next string
		registers  int
	}{{"four", "one", 4}, {"one", "done", 1}} {
		n := loop.registers
		g.Label(loop.name)
		g.CMPQ(left, U8(n*g.lanes))
		g.JLT(LabelRef(loop.next))
		for i := range n {
			m := Mem{Base: x, Disp: 4 * i * g.lanes}
			g.VMOVUPS(m, v)
			add(m, v, sums[i])
		}
		g.ADDQ(I32(4*n*g.lanes), x)
		next(4 * n * g.lanes)
		g.SUBQ(U8(n*g.lanes), left)
		g.JMP(LabelRef(loop.name))
	}
	g.Label("done")
	g.VADDPS(sums[1], sums[0], sums[0])
	g.VADDPS(sums[3], sums[2], sums[2])
	g.VADDPS(sums[2], sums[0], sums[0])
	g.across(sums[0], v, g.VADDPS)
}

// sigmoid emits 1/(1+e^-x), of e^-|x|, which does not overflow.
func sigmoid(g *gen) {
	g.function("sigmoid", "func(dst, x *float32, n int)", "sets dst to 1/(1+e^-x), n values, whole steps.",
		"for i := range n {", "\tdst[i] = 1 / (1 + exp(-x[i]))", "}")
	var (
		dst, src, left         = reg.RDI, reg.RSI, reg.RCX
		x, e, inverse, product = g.vec(0), g.vec(1), g.vec(5), g.vec(6)
		one                    = g.word("c0", math.Float32bits(1))
	)
	g.arg("dst", dst)
	g.arg("x", src)
	g.arg("n", left)
	g.Label("next")
	g.VMOVUPS(Mem{Base: src}, x)
	g.VORPS(g.word("sign", 1<<31), x, e)
	g.exp(e, g.vec(2), g.vec(3), g.vec(4))
	g.VMOVUPS(one, inverse)
	g.VADDPS(inverse, e, product)
	g.VDIVPS(product, inverse, inverse)
	g.VMULPS(e, inverse, product)
	if g.wide() {
		g.VPMOVD2M(x, reg.K2)
		g.VBLENDMPS(product, inverse, reg.K2, inverse)
	} else {
		g.VBLENDVPS(x, product, inverse, inverse)
	}
	g.VMOVUPS(inverse, Mem{Base: dst})
	g.ADDQ(U8(4*g.lanes), src)
	g.ADDQ(U8(4*g.lanes), dst)
	g.SUBQ(U8(g.lanes), left)
	g.JG(LabelRef("next"))
	g.end()
}
