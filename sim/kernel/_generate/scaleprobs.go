package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// scaleProbs emits what the weighted sum of a block of Int4 rows needs of the probabilities: a row's codes are weighted
// by p times their group's scale, and the minima of all rows make one sum for a group's channels.
//
// Groups are taken four at a time, a quad of lanes, and rows as well under AVX-512. Reads may go three numbers beyond the
// end of scale and least; out and sums have room for whole fours of groups, out for a whole block of rows.
func scaleProbs(g *gen) {
	for _, heads := range g.tiles {
		r := &scaler{gen: g, heads: heads}
		r.emit()
	}
}

// General registers. Strides are in bytes.
var (
	probP, probPStride, probPTriple       = reg.RSI, reg.R8, reg.R9
	probScale, probLeast                  = reg.RAX, reg.RBX // of the row, at the four groups
	probStride, probTriple                = reg.RCX, reg.R12 // from a row's to the next
	probOut, probOutStride, probOutTriple = reg.RDI, reg.R10, reg.R11
	probSums                              = reg.R13
	probLeft                              = reg.RDX // rows
	probTemp                              = reg.R15
)

// quadBytes are those of four groups of a row in out, and fourBytes those of a block.
const (
	quadBytes = 4 * 4
	fourBytes = blockRows * quadBytes
)

type scaler struct {
	*gen
	heads                  int
	sum                    []reg.VecPhysical // [head]
	scale, min, p, product reg.VecPhysical
	rows                   reg.VecPhysical // AVX-512: the row of each lane
}

func (r *scaler) emit() {
	r.function(fmt.Sprintf("scaleProbsx%d", r.heads), "func(p *float32, pStride, n int, scale, least *float32, groups int, out *float32, outStride int, sums *float32, sumStride int)",
		fmt.Sprintf("multiplies the probabilities of %d heads by the scales of n rows, and sums them times the minima; strides are in bytes.", r.heads),
		fmt.Sprintf("for h := range %d, f := range groups {", r.heads),
		"\tfor i := range n {",
		"\t\tout[h][f/4][i][f%4] = p[h][i] * scale[i][f]",
		"\t}",
		"\tsums[h][f] = sum over i < n of p[h][i] * least[i][f]",
		"}")
	r.sum = r.vecs(0, r.heads)
	more := r.vecs(r.heads, 5)
	r.scale, r.min, r.p, r.product, r.rows = more[0], more[1], more[2], more[3], more[4]
	local := func(name string) Mem {
		m := r.AllocLocal(8)
		r.arg(name, probTemp)
		r.MOVQ(probTemp, m)
		return m
	}
	scale, least, out, groups := local("scale"), local("least"), local("out"), local("groups")
	r.arg("pStride", probPStride)
	r.LEAQ(Mem{Base: probPStride, Index: probPStride, Scale: 2}, probPTriple)
	r.arg("outStride", probOutStride)
	r.LEAQ(Mem{Base: probOutStride, Index: probOutStride, Scale: 2}, probOutTriple)
	r.arg("groups", probStride)
	r.SHLQ(U8(2), probStride)
	r.LEAQ(Mem{Base: probStride, Index: probStride, Scale: 2}, probTriple)
	r.arg("sums", probSums)
	if r.wide() {
		r.VMOVUPS(r.gen.table("rows", func(i int) uint32 { return uint32(i / 4) }), r.rows)
		r.quadMasks(reg.EDX)
	}
	r.Label("groups")
	for _, s := range r.sum {
		r.zero(s)
	}
	r.arg("p", probP)
	r.arg("n", probLeft)
	r.MOVQ(scale, probScale)
	r.MOVQ(least, probLeast)
	r.MOVQ(out, probOut)
	if r.wide() {
		r.CMPQ(probStride, U8(quadBytes))
		r.JNE(LabelRef("four"))
		r.loop("near", 4, "one")
		r.loop("four", 4, "one")
	}
	r.loop("one", 1, "sums")
	r.Label("sums")
	r.MOVQ(probSums, probTemp)
	r.arg("sumStride", probLeft)
	for _, s := range r.sum {
		if r.wide() {
			s = r.fold(s, r.p)
		}
		r.VMOVUPS(s.AsX(), Mem{Base: probTemp})
		r.ADDQ(probLeft, probTemp)
	}
	r.ADDQ(U8(quadBytes), probSums)
	r.ADDQ(U8(quadBytes), scale)
	r.ADDQ(U8(quadBytes), least)
	r.ADDQ(I32(fourBytes), out)
	r.SUBQ(U8(4), groups)
	r.JG(LabelRef("groups"))
	r.end()
}

// loop emits the loop over rows, rows at a time; next is where what is fewer is done. In loop near there are four
// groups, so that the numbers of four rows lie side by side.
func (r *scaler) loop(name string, rows int, next string) {
	r.Label(name)
	r.CMPQ(probLeft, U8(rows))
	r.JLT(LabelRef(next))
	load := r.broadcastQuads
	switch {
	case name == "near":
		load = func(at []Mem, to reg.VecPhysical) { r.VMOVUPS(at[0], to) }
	case rows == 1:
		load = func(at []Mem, to reg.VecPhysical) { r.VMOVUPS(at[0], to.AsX()) } // other lanes are zero
	}
	load(strided(rows, probScale, probStride, probTriple), r.scale)
	load(strided(rows, probLeast, probStride, probTriple), r.min)
	out := strided(r.heads, probOut, probOutStride, probOutTriple)
	for h, m := range strided(r.heads, probP, probPStride, probPTriple) {
		if rows == 4 {
			r.VMOVUPS(m, r.p.AsX())
			r.VPERMPS(r.p, r.rows, r.p)
		} else {
			r.VBROADCASTSS(m, r.p)
		}
		r.VMULPS(r.scale, r.p, r.product)
		if rows == 4 {
			r.VMOVUPS(r.product, out[h])
		} else {
			r.VMOVUPS(r.product.AsX(), out[h])
		}
		r.VFMADD231PS(r.min, r.p, r.sum[h])
	}
	r.ADDQ(U8(4*rows), probP)
	r.ADDQ(U8(quadBytes*rows), probOut)
	for _, at := range []reg.Register{probScale, probLeast} {
		if rows == 4 {
			r.LEAQ(Mem{Base: at, Index: probStride, Scale: 4}, at)
		} else {
			r.ADDQ(probStride, at)
		}
	}
	r.SUBQ(U8(rows), probLeft)
	r.JMP(LabelRef(name))
}
