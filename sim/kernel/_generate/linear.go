package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// linear emits the product of rows of activations, as they lie, with a packed panel of weights. A tile of out has its
// accumulators in registers, rows by three registers of columns: of k, a load a register of columns, a broadcast a row,
// and a multiply-add an accumulator.
func linear(g *gen) {
	rows := 4
	if g.wide() {
		rows = 8
	}
	const width = 3 // registers of columns
	g.function("tileLinear", "func(x *float32, xStride int, w *float32, k int, out *float32, outStride int)",
		fmt.Sprintf("adds the product of %d rows with a packed panel to a tile of out, of as many rows by %d columns; strides are in bytes.", rows, width*g.lanes),
		fmt.Sprintf("for i := range %d {", rows),
		fmt.Sprintf("\tfor j := range %d {", width*g.lanes),
		"\t\tout[i][j] += sum over l < k of x[i][l] * w[l][j]",
		"\t}",
		"}")
	var (
		low, high, stride, triple = reg.RSI, reg.RDX, reg.R8, reg.R9
		w, left                   = reg.RBX, reg.RCX
		out, outStride            = reg.RDI, reg.R10
		columns                   = g.vecs(rows*width, width)
		first                     = rows*width + width // of the registers that are left
		free                      = len(vectors) - first
	)
	if !g.wide() {
		free = len(vectors)/2 - first
	}
	g.arg("x", low)
	g.arg("xStride", stride)
	g.arg("w", w)
	g.arg("k", left)
	g.arg("out", out)
	g.arg("outStride", outStride)
	g.LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, triple)
	xs := strided(4, low, stride, triple)
	if rows > 4 {
		g.LEAQ(Mem{Base: low, Index: stride, Scale: 4}, high)
		xs = append(xs, strided(4, high, stride, triple)...)
	}
	for i := range rows * width {
		g.zero(g.vec(i))
	}
	g.Label("next")
	for j, column := range columns {
		g.VMOVUPS(Mem{Base: w, Disp: 4 * j * g.lanes}, column)
	}
	for i, x := range xs {
		value := g.vec(first + i%free)
		g.VBROADCASTSS(x, value)
		for j, column := range columns {
			g.VFMADD231PS(column, value, g.vec(i*width+j))
		}
	}
	g.ADDQ(U8(4), low)
	if rows > 4 {
		g.ADDQ(U8(4), high)
	}
	g.ADDQ(I32(4*width*g.lanes), w)
	g.DECQ(left)
	g.JNZ(LabelRef("next"))
	for i := range rows {
		for j := range width {
			m, acc := Mem{Base: out, Disp: 4 * j * g.lanes}, g.vec(i*width+j)
			g.VADDPS(m, acc, acc)
			g.VMOVUPS(acc, m)
		}
		g.ADDQ(outStride, out)
	}
	g.end()
}
