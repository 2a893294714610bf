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
	g.narrow()
	g.narrowRows()
}

// narrow emits the rounding of one vector.
func (g *gen) narrow() {
	g.function("narrow", "func(dst *byte, src *float32, n int) (infinite uint32)", "rounds n values, whole steps, to binary16, ties to even, and returns other than 0 where one is infinite or a NaN.",
		"for i := range n {",
		"\tdst[i] = Half(src[i])",
		"\tinfinite |= dst[i] is infinite or a NaN",
		"}")
	g.rounding()
	g.convert(reg.RSI, reg.RDI, g.round)
	g.rounded()
}

// ahead is how many rows before it is rounded a row is fetched: rows that are kept lie apart, where the machine does not
// expect them.
const ahead = 4

// narrowRows emits the rounding of some rows of a matrix.
func (g *gen) narrowRows() {
	g.function("narrowRows", "func(dst *byte, src *float32, dim int, rows *int32, n int) (infinite uint32)", "rounds the n rows of dim values, whole steps, that rows names as narrow does.",
		"for i := range n {",
		"\tfor d := range dim {",
		"\t\tdst[i][d] = Half(src[rows[i]][d])",
		"\t}",
		"}")
	var (
		matrix, rows, last, n, stride = reg.R8, reg.R9, reg.R10, reg.R11, reg.R12
		next, later                   = reg.RBX, reg.RDX
	)
	g.arg("src", matrix)
	g.arg("dst", reg.RDI)
	g.arg("rows", rows)
	g.arg("n", n)
	g.arg("dim", stride)
	g.SHLQ(U8(2), stride)
	g.LEAQ(Mem{Base: rows, Index: n, Scale: 4, Disp: -4}, last)
	g.rounding()
	g.Label("row")
	g.MOVLQSX(Mem{Base: rows}, reg.RSI)
	g.IMULQ(stride, reg.RSI)
	g.ADDQ(matrix, reg.RSI)
	g.LEAQ(Mem{Base: rows, Disp: 4 * ahead}, next)
	g.CMPQ(next, last)
	g.CMOVQGT(last, next)
	g.MOVLQSX(Mem{Base: next}, later)
	g.IMULQ(stride, later)
	g.ADDQ(matrix, later)
	g.arg("dim", reg.RCX)
	g.Label("next")
	g.PREFETCHT0(Mem{Base: later})
	g.ADDQ(U8(4*step), later)
	g.round()
	g.SUBQ(U8(step), reg.RCX)
	g.JG(LabelRef("next"))
	g.ADDQ(U8(4), rows)
	g.DECQ(n)
	g.JNZ(LabelRef("row"))
	g.rounded()
}

// Registers of the rounding: the exponent of what is not finite, and where it was found.
const top, found = 14, 15

// halfOf is the half of a register that the halves of its values take.
func (g *gen) halfOf(i int) reg.VecPhysical {
	if g.wide() {
		return g.vec(i).AsY().(reg.VecPhysical)
	}
	return g.vec(i).AsX().(reg.VecPhysical)
}

// rounding starts a rounding.
func (g *gen) rounding() {
	g.VMOVUPS(g.word("exponent", 0x7c007c00), g.vec(top))
	g.zero(g.vec(found))
}

// round rounds a step from RSI to RDI.
func (g *gen) round() {
	for v := range step / g.lanes {
		half := g.halfOf(v)
		g.VMOVUPS(Mem{Base: reg.RSI, Disp: 4 * v * g.lanes}, g.vec(v))
		g.VCVTPS2PH(U8(0), g.vec(v), half)
		g.VMOVUPS(half, Mem{Base: reg.RDI, Disp: 2 * v * g.lanes})
		g.VPAND(g.halfOf(top), half, half)
		g.VPCMPEQW(g.halfOf(top), half, half)
		g.VPOR(half, g.halfOf(found), g.halfOf(found))
	}
	g.ADDQ(U8(4*step), reg.RSI)
	g.ADDQ(U8(2*step), reg.RDI)
}

// rounded ends a rounding, and the function.
func (g *gen) rounded() {
	g.VPMOVMSKB(g.halfOf(found), reg.EAX)
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
