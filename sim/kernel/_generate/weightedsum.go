package main

import (
	"fmt"
	"math"
	"strings"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// weightedSum emits the weighted sum of a block of rows for a tile of query heads.
//
// The columns are cut into stripes whose accumulators, for all heads of the tile, fit the registers; each
// stripe goes down the block once, which lies in the nearest cache after the first. For each row: one load and
// conversion a register of columns, and heads multiply-adds a register, by p from memory under AVX-512, which
// an instruction may broadcast, or from a register a head. Each row prefetches as many lines as its stripe has,
// one after the other from next on.
//
// For formats of groups p and sums are out of scaleProbs: p has a number for each group of a row, so that codes are all that
// is left to decode. Those of Int4 are masked where they stand and are not shifted down: meanwhile accumulators are too
// large by factor, and under AVX-512 in another order, in which no code has to leave its lane.
func weightedSum(g *gen) {
	for _, f := range formats {
		for _, heads := range g.tiles {
			w := &summer{gen: g, heads: heads}
			w.emit(f)
		}
	}
}

// General registers. Strides are in bytes.
var (
	sumP, sumPStride, sumPTriple = reg.RSI, reg.R8, reg.R9 // p of the first head at the row

	sumRow, sumStride = reg.RAX, reg.RBX // the row at the stripe
	sumNext           = reg.RDI          // sumRow plus the distance of prefetches

	sumLeft = reg.RDX // rows left
	sumAcc  = reg.R10 // acc of the first head at the stripe
	sumTemp = reg.RCX // walks the heads between stripes
	sumHop  = reg.R15 // its stride
	sumHead = reg.R11 // of groups: walks the sums of the heads
	sumSums = reg.R12 // its stride
)

type summer struct {
	*gen
	heads int
	f     format
	in    *widener

	acc []reg.VecPhysical // [head][register of the stripe]
	p   []reg.VecPhysical // [head]
	x   reg.VecPhysical

	codes     reg.VecPhysical // Int4, Five: 32 bits for each byte, or under AVX-512 the four words of a group in each quad
	low, high reg.VecPhysical // Int4: masks of the codes of a vector
	perm      reg.VecPhysical // Int4: AVX-512: the lanes of channels in the order of codes, and the other way round

	cols, row, probs, sums Mem // locals: columns to go, and pointers of the first row and head at the stripe
}

// stripes lists how many registers of columns a stripe may have, widest first; the last is one round.
func (w *summer) stripes() []int {
	round := w.f.cols / w.lanes
	var s []int
	for _, n := range []int{8, 4} {
		if n > round && n*w.heads <= w.lanes {
			s = append(s, n)
		}
	}
	return append(s, round)
}

func (w *summer) emit(f format) {
	w.f = f
	name := fmt.Sprintf("weightedSum%sx%d", f.name, w.heads)
	sum := "sum over i < n of p[h][i] * " + f.value
	if f.grouped() {
		sum = strings.ReplaceAll("sums[h][d/G] + sum over i < n of p[h][d/(4*G)][i][d/G%4] * code[i][d]", "(4*G)", fmt.Sprint(4*f.group))
		sum = strings.ReplaceAll(sum, "G", fmt.Sprint(f.group))
		if f.tabled() {
			sum = strings.Replace(sum, "code[i][d]", "table[code[i][d]]", 1)
		}
	}
	w.function(name, "func(p *float32, pStride int, rows *byte, stride, n, dim int, table, acc *float32, accStride int, rescale, sums *float32, sumStride int, next *byte)",
		fmt.Sprintf("adds the weighted sum of n rows to each of %d accumulators, which are rescaled before; strides are in bytes.", w.heads),
		fmt.Sprintf("for h := range %d {", w.heads),
		"\tfor d := range dim {",
		"\t\tacc[h][d] = rescale[h]*acc[h][d] + "+sum,
		"\t}",
		"}")
	w.cols, w.row, w.probs, w.sums = w.AllocLocal(8), w.AllocLocal(8), w.AllocLocal(8), w.AllocLocal(8)
	w.assign()

	w.arg("dim", sumLeft)
	w.MOVQ(sumLeft, w.cols)
	w.arg("rows", sumRow)
	w.MOVQ(sumRow, w.row)
	w.arg("stride", sumStride)
	w.arg("pStride", sumPStride)
	w.LEAQ(Mem{Base: sumPStride, Index: sumPStride, Scale: 2}, sumPTriple)
	w.arg("acc", sumAcc)
	w.arg("next", sumNext)
	w.arg("p", sumP)
	w.MOVQ(sumP, w.probs)
	switch {
	case f.tabled():
		w.arg("table", sumTemp)
		w.in.look.prepare(sumTemp)
	case !f.nibbles():
		w.in.prepare()
	default:
		w.VMOVUPS(w.mask(0), w.low)
		w.VMOVUPS(w.mask(4), w.high)
		if w.wide() {
			w.VMOVUPS(w.transposed(), w.perm)
		}
	}
	if f.grouped() {
		w.arg("sums", sumHead)
		w.MOVQ(sumHead, w.sums)
		w.arg("sumStride", sumSums)
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
func (w *summer) assign() {
	next := w.heads * w.stripes()[0]
	w.acc = w.vecs(0, next)
	take := func() reg.VecPhysical { next++; return w.vec(next - 1) }
	w.p = nil
	for range w.heads {
		w.p = append(w.p, take())
	}
	w.x = take()
	w.in = &widener{gen: w.gen, f: w.f}
	switch {
	case w.f.tabled():
		w.in.look = &table{gen: w.gen, form: w.f.form(), entries: [2]reg.VecPhysical{take()}, codes: take(), y: take(), fresh: w.f.group == 16}
		if !w.wide() {
			w.in.look.entries[1], w.in.look.sign = take(), take()
		}
	case !w.f.nibbles() && (w.f.grouped() || w.f.narrow()):
		w.in.fixed, w.in.codes, w.in.bits = take(), take(), take()
	case w.f.nibbles():
		w.codes, w.low, w.high = take(), take(), take()
		if w.wide() {
			w.perm = take()
		}
	}
}

// stripe emits the loop over stripes of n registers; next is where what is narrower is done.
func (w *summer) stripe(n int, next string) {
	name := fmt.Sprintf("stripe%d", n)
	cols := n * w.lanes
	size := cols / w.f.cols * w.f.bytes // of the stripe in a row
	groups := cols / w.f.cols * w.f.scales()
	w.Label(name)
	w.CMPQ(w.cols, I32(cols))
	w.JLT(LabelRef(next))
	w.rescale(n)
	w.MOVQ(w.probs, sumP)
	w.arg("n", sumLeft)
	w.MOVQ(w.row, sumRow)
	w.Label(name + "_row")
	w.rowOf(n, size)
	w.JNZ(LabelRef(name + "_row"))
	if w.f.grouped() {
		w.unscale(n)
		w.ADDQ(U8(4*groups), w.sums)
		w.pass(n, groups)
	}
	w.each(n, func(acc reg.VecPhysical, m Mem) { w.VMOVUPS(acc, m) })
	w.ADDQ(I32(4*cols), sumAcc)
	w.ADDQ(I32(size), w.row)
	w.SUBQ(I32(cols), w.cols)
	w.JMP(LabelRef(name))
}

// rowOf emits one row of a stripe of n registers, size bytes, and leaves the flags of the rows left.
func (w *summer) rowOf(n, size int) {
	w.prefetch(Mem{Base: sumNext}, size)
	for g := range n / w.in.vectors() {
		for i, v := range w.in.order() {
			p := strided(w.heads, sumP, sumPStride, sumPTriple)
			if w.f.grouped() {
				at := w.f.scales()*g + w.f.scale(v*w.lanes)
				for h := range p {
					p[h] = p[h].Offset(at/4*fourBytes + at%4*4)
				}
			}
			if !w.wide() && (g == 0 && i == 0 || w.f.grouped() && (i == 0 || w.f.group == 16 && i == 2)) {
				for h, m := range p {
					w.VBROADCASTSS(m, w.p[h])
				}
			}
			w.load(v, Mem{Base: sumRow, Disp: g * w.f.bytes})
			for h, m := range p {
				acc := w.acc[h*n+g*w.in.vectors()+v]
				if w.wide() {
					w.VFMADD231PS_BCST(m, w.x, acc)
				} else {
					w.VFMADD231PS(w.x, w.p[h], acc)
				}
			}
		}
	}
	w.ADDQ(sumStride, sumRow)
	w.ADDQ(I32(size), sumNext)
	if w.f.grouped() {
		w.ADDQ(U8(quadBytes), sumP)
	} else {
		w.ADDQ(U8(4), sumP)
	}
	w.DECQ(sumLeft)
}

// pass moves on from the p of a stripe's groups, before its columns are subtracted.
func (w *summer) pass(n, groups int) {
	if groups%4 == 0 {
		w.ADDQ(I32(groups/4*fourBytes), w.probs)
		return
	}
	same := fmt.Sprintf("same%d", n)
	w.ADDQ(U8(4*groups), w.probs)
	w.arg("dim", sumTemp)
	w.SUBQ(w.cols, sumTemp)
	w.ADDQ(U8(w.f.group*groups), sumTemp)
	w.TESTQ(U32(4*w.f.group-1), sumTemp)
	w.JNZ(LabelRef(same))
	w.ADDQ(I32(fourBytes-quadBytes), w.probs)
	w.Label(same)
}

// load puts vector v of a round, of Int4 its codes alone, into x.
func (w *summer) load(v int, m Mem) {
	switch {
	case w.f.tabled():
		w.in.look.load(v, m, w.x)
		return
	case !w.f.grouped():
		w.in.load(v, m, Mem{}, Mem{}, w.x)
		return
	case !w.f.nibbles():
		w.in.integers(v, m, w.x)
		return
	}
	mask := w.high
	if !w.upper(v) {
		mask = w.low
		if w.wide() {
			w.VBROADCASTI32X4(m, w.codes)
		} else {
			w.VPMOVZXBD(m.Offset(v*w.lanes), w.codes)
		}
	}
	if w.wide() {
		w.VPANDD(mask, w.codes, w.x)
		w.VCVTUDQ2PS(w.x, w.x)
	} else {
		w.VPAND(mask, w.codes, w.x)
		w.VCVTDQ2PS(w.x, w.x)
	}
}

// upper says whether vector v lies in the high halves of a group of Int4.
func (w *summer) upper(v int) bool { return v%w.in.vectors() >= w.in.vectors()/2 }

// place is the lowest bit of a code in its lane, that of a low half or, with 4, of a high one. Under AVX-512 quad i
// takes byte i of the four words.
func (w *summer) place(lane, half int) int {
	if w.wide() {
		return 8*(lane/4) + half
	}
	return half
}

// mask selects the codes of a vector.
func (w *summer) mask(half int) Mem {
	return w.gen.table(fmt.Sprintf("mask%d", half), func(i int) uint32 { return 15 << w.place(i, half) })
}

// factor is by how much codes are too large, or with sign -1 its inverse.
func (w *summer) factor(v, sign int) Mem {
	half := 0
	if w.upper(v) {
		half = 4
	}
	return w.gen.table(fmt.Sprintf("factor%d_%d", half, sign+1), func(i int) uint32 {
		return math.Float32bits(float32(math.Ldexp(1, sign*w.place(i, half))))
	})
}

// unscale adds the sums of their groups to the accumulators, which of Int4 it brings back to size and order before.
func (w *summer) unscale(n int) {
	w.MOVQ(w.sums, sumHead)
	for h := range w.heads {
		for v := range n {
			if v*w.lanes%w.f.group == 0 {
				w.VBROADCASTSS(Mem{Base: sumHead, Disp: 4 * (v * w.lanes / w.f.group)}, w.x)
			}
			acc := w.acc[h*n+v]
			if !w.f.nibbles() {
				w.VADDPS(w.x, acc, acc)
				continue
			}
			w.VFMADD132PS(w.factor(v, -1), w.x, acc)
			if w.wide() {
				w.VPERMPS(acc, w.perm, acc)
			}
		}
		w.ADDQ(sumSums, sumHead)
	}
}

// rescale loads the accumulators times the factors of their heads.
func (w *summer) rescale(n int) {
	w.arg("rescale", sumTemp)
	for h := range w.heads {
		w.VBROADCASTSS(Mem{Base: sumTemp, Disp: 4 * h}, w.p[h])
	}
	at := 0
	w.each(n, func(acc reg.VecPhysical, m Mem) {
		w.VMULPS(m, w.p[at/n], acc)
		if w.f.nibbles() && w.wide() {
			w.VPERMPS(acc, w.perm, acc)
		}
		if w.f.nibbles() {
			w.VMULPS(w.factor(at%n, 1), acc, acc)
		}
		at++
	})
}

// each calls f for each accumulator of a stripe, with where it lies.
func (w *summer) each(n int, f func(acc reg.VecPhysical, m Mem)) {
	w.MOVQ(sumAcc, sumTemp)
	w.arg("accStride", sumHop)
	for h := range w.heads {
		for j := range n {
			f(w.acc[h*n+j], Mem{Base: sumTemp, Disp: 4 * j * w.lanes})
		}
		w.ADDQ(sumHop, sumTemp)
	}
}
