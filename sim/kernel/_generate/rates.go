package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rates emits what weigh needs of the probabilities of a block of Int4 rows. A row's codes are weighed by p times
// their group's scale, and the minima of all rows make one sum for a group's channels:
//
//	for f := 0; f < groups; f += 4 {
//		for h := 0; h < heads; h++ {
//			for i := 0; i < n; i++ {
//				out[h][f/4][i] = p[h][i] * scale[i][f:f+4]
//			}
//			sums[h][f:f+4] = sum over i of p[h][i] * least[i][f:f+4]
//		}
//	}
//
// Groups are taken four at a time, a quad of lanes, and rows as well under AVX-512. Reads may go three numbers beyond the
// end of scale and least; out and sums have room for whole fours of groups, out for a whole block of rows.
func rates(g *gen) {
	for _, heads := range g.tiles {
		r := &rater{gen: g, heads: heads}
		r.emit()
	}
}

// General registers. Strides are in bytes.
var (
	rateP, ratePStride, ratePTriple       = reg.RSI, reg.R8, reg.R9
	rateScale, rateLeast                  = reg.RAX, reg.RBX // of the row, at the four groups
	rateStride, rateTriple                = reg.RCX, reg.R12 // from a row's to the next
	rateOut, rateOutStride, rateOutTriple = reg.RDI, reg.R10, reg.R11
	rateSums                              = reg.R13
	rateLeft                              = reg.RDX // rows
	rateTemp                              = reg.R15
)

// quadBytes are those of four groups of a row in out, and fourBytes those of a block.
const (
	quadBytes = 4 * 4
	fourBytes = blockRows * quadBytes
)

type rater struct {
	*gen
	heads                  int
	sum                    []reg.VecPhysical // [head]
	rate, less, p, product reg.VecPhysical
	rows                   reg.VecPhysical // AVX-512: the row of each lane
}

func (r *rater) emit() {
	r.function(fmt.Sprintf("ratesx%d", r.heads), "func(p *float32, pStride, n int, scale, least *float32, groups int, out *float32, outStride int, sums *float32, sumStride int)",
		fmt.Sprintf("multiplies the probabilities of %d heads by the scales of n rows, and sums them times the minima; strides are in bytes.", r.heads))
	r.sum = r.vecs(0, r.heads)
	more := r.vecs(r.heads, 5)
	r.rate, r.less, r.p, r.product, r.rows = more[0], more[1], more[2], more[3], more[4]
	local := func(name string) Mem {
		m := r.AllocLocal(8)
		r.arg(name, rateTemp)
		r.MOVQ(rateTemp, m)
		return m
	}
	scale, least, out, groups := local("scale"), local("least"), local("out"), local("groups")
	r.arg("pStride", ratePStride)
	r.LEAQ(Mem{Base: ratePStride, Index: ratePStride, Scale: 2}, ratePTriple)
	r.arg("outStride", rateOutStride)
	r.LEAQ(Mem{Base: rateOutStride, Index: rateOutStride, Scale: 2}, rateOutTriple)
	r.arg("groups", rateStride)
	r.SHLQ(U8(2), rateStride)
	r.LEAQ(Mem{Base: rateStride, Index: rateStride, Scale: 2}, rateTriple)
	r.arg("sums", rateSums)
	if r.wide() {
		r.VMOVUPS(r.gen.table("rows", func(i int) uint32 { return uint32(i / 4) }), r.rows)
		r.quadMasks(reg.EDX)
	}
	r.Label("groups")
	for _, s := range r.sum {
		r.zero(s)
	}
	r.arg("p", rateP)
	r.arg("n", rateLeft)
	r.MOVQ(scale, rateScale)
	r.MOVQ(least, rateLeast)
	r.MOVQ(out, rateOut)
	if r.wide() {
		r.CMPQ(rateStride, U8(quadBytes))
		r.JNE(LabelRef("four"))
		r.loop("near", 4, "one")
		r.loop("four", 4, "one")
	}
	r.loop("one", 1, "sums")
	r.Label("sums")
	r.MOVQ(rateSums, rateTemp)
	r.arg("sumStride", rateLeft)
	for _, s := range r.sum {
		if r.wide() {
			s = r.fold(s, r.p)
		}
		r.VMOVUPS(s.AsX(), Mem{Base: rateTemp})
		r.ADDQ(rateLeft, rateTemp)
	}
	r.ADDQ(U8(quadBytes), rateSums)
	r.ADDQ(U8(quadBytes), scale)
	r.ADDQ(U8(quadBytes), least)
	r.ADDQ(I32(fourBytes), out)
	r.SUBQ(U8(4), groups)
	r.JG(LabelRef("groups"))
	r.end()
}

// loop emits the loop over rows, rows at a time; next is where what is fewer is done. In loop near there are four
// groups, so that the numbers of four rows lie side by side.
func (r *rater) loop(name string, rows int, next string) {
	r.Label(name)
	r.CMPQ(rateLeft, U8(rows))
	r.JLT(LabelRef(next))
	load := r.broadcastQuads
	switch {
	case name == "near":
		load = func(at []Mem, to reg.VecPhysical) { r.VMOVUPS(at[0], to) }
	case rows == 1:
		load = func(at []Mem, to reg.VecPhysical) { r.VMOVUPS(at[0], to.AsX()) } // other lanes are zero
	}
	load(strided(rows, rateScale, rateStride, rateTriple), r.rate)
	load(strided(rows, rateLeast, rateStride, rateTriple), r.less)
	out := strided(r.heads, rateOut, rateOutStride, rateOutTriple)
	for h, m := range strided(r.heads, rateP, ratePStride, ratePTriple) {
		if rows == 4 {
			r.VMOVUPS(m, r.p.AsX())
			r.VPERMPS(r.p, r.rows, r.p)
		} else {
			r.VBROADCASTSS(m, r.p)
		}
		r.VMULPS(r.rate, r.p, r.product)
		if rows == 4 {
			r.VMOVUPS(r.product, out[h])
		} else {
			r.VMOVUPS(r.product.AsX(), out[h])
		}
		r.VFMADD231PS(r.less, r.p, r.sum[h])
	}
	r.ADDQ(U8(4*rows), rateP)
	r.ADDQ(U8(quadBytes*rows), rateOut)
	for _, at := range []reg.Register{rateScale, rateLeast} {
		if rows == 4 {
			r.LEAQ(Mem{Base: at, Index: rateStride, Scale: 4}, at)
		} else {
			r.ADDQ(rateStride, at)
		}
	}
	r.SUBQ(U8(rows), rateLeft)
	r.JMP(LabelRef(name))
}
