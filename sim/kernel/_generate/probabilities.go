package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sumProbabilities emits the sums of a block's probabilities over queries. Rows are padded to whole steps.
func sumProbabilities(g *gen) {
	g.function("sumProbabilities", "func(logits *float32, n, queries int, k, max, inverse, sums *float32)",
		"sums the probabilities of n rows, whole steps, over queries.",
		"for i := range n {",
		"\tsums[i] = sum over h < queries of inverse[h] * exp(k[i]*logits[h][i] - max[h])",
		"}")
	var (
		logits, scale, max, inverse, sums = reg.RSI, reg.R8, reg.R9, reg.R10, reg.R11
		left, queries, row                = reg.RAX, reg.RBX, reg.RDX
	)
	x, sum, k, weight := g.vec(0), g.vec(4), g.vec(5), g.vec(6)
	g.arg("logits", logits)
	g.arg("n", left)
	g.arg("k", scale)
	g.arg("sums", sums)
	g.Label("rows")
	g.zero(sum)
	g.VMOVUPS(Mem{Base: scale}, k)
	g.MOVQ(logits, row)
	g.arg("max", max)
	g.arg("inverse", inverse)
	g.arg("queries", queries)
	g.Label("query")
	g.VBROADCASTSS(Mem{Base: max}, weight)
	g.VMOVUPS(Mem{Base: row}, x)
	g.VFMSUB213PS(weight, k, x)
	g.exp(x, g.vec(1), g.vec(2), g.vec(3))
	g.VBROADCASTSS(Mem{Base: inverse}, weight)
	g.VFMADD231PS(x, weight, sum)
	g.ADDQ(I32(softmaxBlock), row)
	g.ADDQ(U8(4), max)
	g.ADDQ(U8(4), inverse)
	g.DECQ(queries)
	g.JNZ(LabelRef("query"))
	g.VMOVUPS(sum, Mem{Base: sums})
	g.ADDQ(U8(4*g.lanes), sums)
	g.ADDQ(U8(4*g.lanes), scale)
	g.ADDQ(U8(4*g.lanes), logits)
	g.SUBQ(U8(g.lanes), left)
	g.JG(LabelRef("rows"))
	g.end()
}
