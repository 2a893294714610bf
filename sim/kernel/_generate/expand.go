package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// expand emits the decoding of a block that many heads are going to read, for the formats whose decoding in
// every tile of heads costs more: Int4, and Int8 under AVX2.
func expand(g *gen) {
	for _, f := range formats {
		if f.nibbles() || f.name == "Int8" && !g.wide() {
			g.expand(f)
		}
	}
}

func (g *gen) expand(f format) {
	g.function("expand"+f.name, "func(dst *float32, dstStride int, rows *byte, stride, n, dim int, scale, least *float32, groups int, next *byte)",
		"decodes n rows, whole rounds of columns; strides are in bytes.",
		"for i := range n {",
		"\tfor d := range dim {",
		"\t\tdst[i][d] = "+f.value,
		"\t}",
		"}")
	var (
		dst, to, dstStride = reg.RDI, reg.R8, reg.R9
		rows, row, stride  = reg.RSI, reg.R10, reg.R11
		scale, least       = reg.RAX, reg.RBX // of the row at the group
		left, cols, next   = reg.RCX, reg.RDX, reg.R12
		rewind             = reg.R13 // from the end of a row's scales to the next's
	)
	in := &widener{gen: g, f: f, fixed: g.vec(0), codes: g.vec(1), temp: [2]reg.VecPhysical{g.vec(2), g.vec(3)}}
	in.prepare()
	g.arg("dst", dst)
	g.arg("dstStride", dstStride)
	g.arg("rows", rows)
	g.arg("stride", stride)
	g.arg("n", left)
	g.arg("next", next)
	if f.grouped() {
		g.arg("scale", scale)
		g.arg("least", least)
		g.arg("groups", rewind)
		g.arg("dim", cols)
		g.SHRQ(U8(5), cols)
		g.SUBQ(cols, rewind)
		g.SHLQ(U8(2), rewind)
	}
	g.Label("row")
	g.MOVQ(dst, to)
	g.MOVQ(rows, row)
	g.arg("dim", cols)
	g.Label("round")
	g.prefetch(Mem{Base: next}, 1)
	for _, v := range in.order() {
		in.load(v, Mem{Base: row}, Mem{Base: scale}, Mem{Base: least}, g.vec(4))
		g.VMOVUPS(g.vec(4), Mem{Base: to, Disp: 4 * v * g.lanes})
	}
	g.ADDQ(U8(f.bytes), row)
	g.ADDQ(U8(f.bytes), next)
	g.ADDQ(I32(4*f.cols), to)
	if f.grouped() {
		g.ADDQ(U8(4), scale)
		g.ADDQ(U8(4), least)
	}
	g.SUBQ(U8(f.cols), cols)
	g.JG(LabelRef("round"))
	g.ADDQ(dstStride, dst)
	g.ADDQ(stride, rows)
	if f.grouped() {
		g.ADDQ(rewind, scale)
		g.ADDQ(rewind, least)
	}
	g.DECQ(left)
	g.JNZ(LabelRef("row"))
	g.end()
}
