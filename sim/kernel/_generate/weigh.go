package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// weigh emits the weighted sum of a block of rows for a tile of query heads:
//
//	for h := 0; h < heads; h++ {
//		for d := 0; d < dim; d++ {
//			acc[h][d] = fade[h]*acc[h][d] + sum over i < n of p[h*pStride+i] * row[i][d]
//		}
//	}
//
// The columns are cut into stripes whose accumulators, for all heads of the tile, fit the registers; each
// stripe goes down the block once, which lies in the nearest cache after the first. For each row: one load and
// conversion a register of columns, one broadcast of p a head, and heads multiply-adds a register. Each row
// prefetches as many lines as its stripe has, one after the other from next on.
func weigh(g *gen) {
	for _, f := range formats {
		for _, heads := range g.tiles {
			w := &weigher{gen: g, heads: heads}
			w.emit(f)
		}
	}
}

// General registers. Strides are in bytes.
var (
	weighP, weighPStride, weighPTriple = reg.RSI, reg.R8, reg.R9 // p of the first head at the row

	weighRow, weighStride = reg.RAX, reg.RBX // the row at the stripe
	weighNext             = reg.RDI          // weighRow plus the distance of prefetches

	weighLeft = reg.RDX                                    // rows left
	weighAcc  = reg.R10                                    // acc of the first head at the stripe
	weighTemp = reg.RCX                                    // walks the heads between stripes
	weighHop  = reg.R15                                    // its stride
	weighRate = [3]reg.Register{reg.R11, reg.R12, reg.R13} // Int4: scale, minimum, from a row's to the next
)

type weigher struct {
	*gen
	heads int
	f     format
	in    *widener

	acc []reg.VecPhysical // [head][register of the stripe]
	p   []reg.VecPhysical // [head]
	x   reg.VecPhysical

	cols, row, scale, least Mem // locals: columns to go, and the pointers of the first row at the stripe
}

// stripes lists how many registers of columns a stripe may have, widest first; the last is one round.
func (w *weigher) stripes() []int {
	round := w.f.cols / w.lanes
	var s []int
	for _, n := range []int{8, 4} {
		if n > round && n*w.heads <= w.lanes {
			s = append(s, n)
		}
	}
	return append(s, round)
}

func (w *weigher) emit(f format) {
	w.f = f
	name := fmt.Sprintf("weigh%sx%d", f.name, w.heads)
	w.function(name, "func(p *float32, pStride int, rows *byte, stride, n, dim int, acc *float32, accStride int, fade, scale, least *float32, groups int, next *byte)",
		fmt.Sprintf("adds the weighted sum of n rows to each of %d accumulators; strides are in bytes.", w.heads))
	w.cols, w.row, w.scale, w.least = w.AllocLocal(8), w.AllocLocal(8), w.AllocLocal(8), w.AllocLocal(8)
	w.assign()
	w.in.prepare()

	w.arg("dim", weighLeft)
	w.MOVQ(weighLeft, w.cols)
	w.arg("rows", weighRow)
	w.MOVQ(weighRow, w.row)
	w.arg("stride", weighStride)
	w.arg("pStride", weighPStride)
	w.LEAQ(Mem{Base: weighPStride, Index: weighPStride, Scale: 2}, weighPTriple)
	w.arg("acc", weighAcc)
	w.arg("next", weighNext)
	if f.grouped() {
		w.arg("scale", weighRate[0])
		w.MOVQ(weighRate[0], w.scale)
		w.arg("least", weighRate[1])
		w.MOVQ(weighRate[1], w.least)
		w.arg("groups", weighRate[2])
		w.SHLQ(U8(2), weighRate[2])
	}
	stripes := w.stripes()
	for i, n := range stripes {
		next := "done"
		if i+1 < len(stripes) {
			next = fmt.Sprintf("stripe%d", stripes[i+1])
		}
		w.stripe(n, next)
	}
	w.Label("done")
	w.end()
}

// assign gives out the vector registers.
func (w *weigher) assign() {
	next := w.heads * w.stripes()[0]
	w.acc = w.vecs(0, next)
	take := func() reg.VecPhysical { next++; return w.vec(next - 1) }
	w.p = nil
	for range w.heads {
		w.p = append(w.p, take())
	}
	w.x = take()
	w.in = &widener{gen: w.gen, f: w.f}
	if w.f.grouped() {
		w.in.fixed, w.in.temp[0], w.in.codes = take(), take(), take()
		if !w.wide() {
			w.in.temp[1] = take()
		}
	}
}

// stripe emits the loop over stripes of n registers; next is where what is narrower is done.
func (w *weigher) stripe(n int, next string) {
	name := fmt.Sprintf("stripe%d", n)
	cols := n * w.lanes
	size := cols / w.f.cols * w.f.bytes // of the stripe in a row
	groups := cols / w.f.cols
	w.Label(name)
	w.CMPQ(w.cols, I32(cols))
	w.JLT(LabelRef(next))
	w.fade(n)
	w.arg("p", weighP)
	w.arg("n", weighLeft)
	w.MOVQ(w.row, weighRow)
	if w.f.grouped() {
		w.MOVQ(w.scale, weighRate[0])
		w.MOVQ(w.least, weighRate[1])
	}
	w.Label(name + "_row")
	w.rowOf(n, size)
	w.JNZ(LabelRef(name + "_row"))
	w.each(n, func(acc reg.VecPhysical, m Mem) { w.VMOVUPS(acc, m) })
	w.ADDQ(I32(4*cols), weighAcc)
	w.ADDQ(I32(size), w.row)
	if w.f.grouped() {
		w.ADDQ(I8(4*groups), w.scale)
		w.ADDQ(I8(4*groups), w.least)
	}
	w.SUBQ(I32(cols), w.cols)
	w.JMP(LabelRef(name))
}

// rowOf emits one row of a stripe of n registers, size bytes, and leaves the flags of the rows left.
func (w *weigher) rowOf(n, size int) {
	w.prefetch(Mem{Base: weighNext}, size)
	for h, m := range strided(w.heads, weighP, weighPStride, weighPTriple) {
		w.VBROADCASTSS(m, w.p[h])
	}
	for g := range n / w.in.vectors() {
		at := Mem{Base: weighRow, Disp: g * w.f.bytes}
		for _, v := range w.in.order() {
			w.in.load(v, at, Mem{Base: weighRate[0], Disp: 4 * g}, Mem{Base: weighRate[1], Disp: 4 * g}, w.x)
			for h := range w.heads {
				w.VFMADD231PS(w.x, w.p[h], w.acc[h*n+g*w.in.vectors()+v])
			}
		}
	}
	w.ADDQ(weighStride, weighRow)
	w.ADDQ(I32(size), weighNext)
	if w.f.grouped() {
		w.ADDQ(weighRate[2], weighRate[0])
		w.ADDQ(weighRate[2], weighRate[1])
	}
	w.ADDQ(U8(4), weighP)
	w.DECQ(weighLeft)
}

// fade loads the accumulators times fade.
func (w *weigher) fade(n int) {
	w.arg("fade", weighTemp)
	for h := range w.heads {
		w.VBROADCASTSS(Mem{Base: weighTemp, Disp: 4 * h}, w.p[h])
	}
	at := 0
	w.each(n, func(acc reg.VecPhysical, m Mem) { w.VMULPS(m, w.p[at/n], acc); at++ })
}

// each calls f for each accumulator of a stripe, with where it lies.
func (w *weigher) each(n int, f func(acc reg.VecPhysical, m Mem)) {
	w.MOVQ(weighAcc, weighTemp)
	w.arg("accStride", weighHop)
	for h := range w.heads {
		for j := range n {
			f(w.acc[h*n+j], Mem{Base: weighTemp, Disp: 4 * j * w.lanes})
		}
		w.ADDQ(weighHop, weighTemp)
	}
}
