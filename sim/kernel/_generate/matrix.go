package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// matrix emits what float64 matrices are multiplied and decomposed with.
func matrix(g *gen) {
	g.tileProduct()
	g.strip("stripDots", true, false)
	g.strip("stripAxpys", false, true)
	g.strip("strip", true, true)
}

// tileProduct emits the product of two packed panels. A tile of out has its accumulators in registers, rows by three
// registers of columns, which leaves one register, or a few, to broadcast a: of k, a load a register of columns, a
// broadcast a row, and a multiply-add an accumulator.
func (g *gen) tileProduct() {
	rows := 4
	if g.wide() {
		rows = 8
	}
	const width = 3 // registers of columns
	lanes := g.lanes / 2
	g.function("tileProduct", "func(a, b *float64, k int, out *float64, outStride int)",
		fmt.Sprintf("adds the product of two packed panels to a tile of out, of %d rows by %d columns; the stride is in bytes.", rows, width*lanes),
		fmt.Sprintf("for i := range %d {", rows),
		fmt.Sprintf("\tfor j := range %d {", width*lanes),
		"\t\tout[i][j] += sum over l < k of a[l][i] * b[l][j]",
		"\t}",
		"}")
	var (
		a, b, left  = reg.RSI, reg.RBX, reg.RCX
		out, stride = reg.RDI, reg.R8
		columns     = g.vecs(rows*width, width)
		first       = rows*width + width // of the registers that are left
		free        = len(vectors) - first
	)
	if !g.wide() {
		free = len(vectors)/2 - first
	}
	g.arg("a", a)
	g.arg("b", b)
	g.arg("k", left)
	g.arg("out", out)
	g.arg("outStride", stride)
	for i := range rows * width {
		g.zero(g.vec(i))
	}
	g.Label("next")
	for j, column := range columns {
		g.VMOVUPD(Mem{Base: b, Disp: 8 * j * lanes}, column)
	}
	for i := range rows {
		weight := g.vec(first + i%free)
		g.VBROADCASTSD(Mem{Base: a, Disp: 8 * i}, weight)
		for j, column := range columns {
			g.VFMADD231PD(column, weight, g.vec(i*width+j))
		}
	}
	g.ADDQ(U8(8*rows), a)
	g.ADDQ(I32(8*width*lanes), b)
	g.DECQ(left)
	g.JNZ(LabelRef("next"))
	for i := range rows {
		for j := range width {
			m, acc := Mem{Base: out, Disp: 8 * j * lanes}, g.vec(i*width+j)
			g.VADDPD(m, acc, acc)
			g.VMOVUPD(acc, m)
		}
		g.ADDQ(stride, out)
	}
	g.end()
}

// strip emits a pass over eight rows that reads each number once and adds their inner products with x to sums, or
// themselves times weights to y, or both. The sums are in eight registers. Where the weights have none, they are
// broadcast anew at each step.
func (g *gen) strip(name string, dots, axpys bool) {
	var loop []string
	params, does := "rows *float64, stride, n int", "reads eight rows of n values, whole steps, once, and adds "
	if dots {
		loop = append(loop, "\tsums[i] += sum over c < n of rows[i][c] * x[c]")
		params += ", x, sums *float64"
		does += "their inner products with x to sums"
	}
	if dots && axpys {
		does += " and "
	}
	if axpys {
		loop = append(loop, "\ty[c] += weights[i] * rows[i][c], c < n")
		params += ", y, weights *float64"
		does += "themselves times weights to y"
	}
	loop = append(append([]string{"for i := range 8 {"}, loop...), "}")
	g.function(name, "func("+params+")", does+"; the stride is in bytes.", loop...)
	const rows = 8
	var (
		low, high, stride, triple = reg.RSI, reg.RDI, reg.R8, reg.R9
		x, y, left                = reg.RAX, reg.RBX, reg.RCX
		sums, weights             = reg.R10, reg.R11
		acc                       = g.vecs(0, rows)
		xs, ys, row, weight       = g.vec(8), g.vec(9), g.vec(10), g.vec(11)
		held                      []reg.VecPhysical // weights
		lanes                     = g.lanes / 2
	)
	switch {
	case g.wide():
		held = g.vecs(16, rows)
	case !dots:
		held = g.vecs(0, rows)
	}
	g.arg("rows", low)
	g.arg("stride", stride)
	g.arg("n", left)
	g.LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, triple)
	g.LEAQ(Mem{Base: low, Index: stride, Scale: 4}, high)
	if dots {
		g.arg("x", x)
		g.arg("sums", sums)
		for _, v := range acc {
			g.zero(v)
		}
	}
	if axpys {
		g.arg("y", y)
		g.arg("weights", weights)
		for i, w := range held {
			g.VBROADCASTSD(Mem{Base: weights, Disp: 8 * i}, w)
		}
	}
	g.Label("next")
	for at := 0; at < rows; at += lanes { // a step is as many columns as there are rows
		if dots {
			g.VMOVUPD(Mem{Base: x, Disp: 8 * at}, xs)
		}
		if axpys {
			g.VMOVUPD(Mem{Base: y, Disp: 8 * at}, ys)
		}
		for i, m := range append(strided(4, low, stride, triple), strided(4, high, stride, triple)...) {
			m = m.Offset(8 * at)
			if !axpys {
				g.VFMADD231PD(m, xs, acc[i])
				continue
			}
			by := weight
			if held == nil {
				g.VBROADCASTSD(Mem{Base: weights, Disp: 8 * i}, weight)
			} else {
				by = held[i]
			}
			if !dots {
				g.VFMADD231PD(m, by, ys)
				continue
			}
			g.VMOVUPD(m, row)
			g.VFMADD231PD(row, xs, acc[i])
			g.VFMADD231PD(row, by, ys)
		}
		if axpys {
			g.VMOVUPD(ys, Mem{Base: y, Disp: 8 * at})
		}
	}
	for _, r := range []reg.Register{low, high, x, y} {
		if (r != x || dots) && (r != y || axpys) {
			g.ADDQ(U8(8*rows), r)
		}
	}
	g.SUBQ(U8(rows), left)
	g.JG(LabelRef("next"))
	if dots {
		for i, v := range acc {
			g.acrossDoubles(v, row)
			g.VADDSD(Mem{Base: sums, Disp: 8 * i}, v.AsX(), v.AsX())
			g.VMOVSD(v.AsX(), Mem{Base: sums, Disp: 8 * i})
		}
	}
	g.end()
}
