package main

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// onlineSoftmax emits the online softmax of a block of logits: a loop over heads in registers of rows, which leaves the
// sum over the block in part and the old maximum in rescale, and then one over registers of heads. Rows are padded to
// whole steps by the caller with logits of minus infinity.
func onlineSoftmax(g *gen) {
	s := &softmaxer{gen: g, next: 4}
	s.emit()
}

var (
	softmaxLogits, softmaxK, softmaxV                         = reg.RSI, reg.R8, reg.R9
	softmaxMax, softmaxSum, softmaxRescale, softmaxPart       = reg.R10, reg.R11, reg.R12, reg.R13
	softmaxHeads, softmaxLeft, softmaxAt, softmaxSteps        = reg.RAX, reg.RBX, reg.RCX, reg.RDX
	softmaxBlock                                        int32 = 4 * blockRows // bytes from a head's logits to the next
)

type softmaxer struct {
	*gen
	next int
}

func (s *softmaxer) emit() {
	s.function("onlineSoftmax", "func(logits *float32, n int, k, v, max, sum, rescale, part *float32, heads int)",
		"takes the logits of n rows, whole steps, into the softmax of each head. max, sum, rescale and part are padded to whole steps.",
		"for h := range heads {",
		"\tm := max(max[h], k[i]*logits[h][i] for i < n)",
		"\trescale[h] = exp(max[h] - m)",
		"\tsum[h] = rescale[h]*sum[h] + sum over i < n of exp(k[i]*logits[h][i] - m)",
		"\tlogits[h][i] = v[i] * exp(k[i]*logits[h][i] - m), i < n",
		"\tmax[h] = m",
		"}")
	s.arg("logits", softmaxLogits)
	s.arg("n", softmaxSteps)
	s.arg("k", softmaxK)
	s.arg("v", softmaxV)
	s.arg("max", softmaxMax)
	s.arg("sum", softmaxSum)
	s.arg("rescale", softmaxRescale)
	s.arg("part", softmaxPart)
	s.arg("heads", softmaxHeads)
	s.MOVQ(softmaxHeads, softmaxLeft)
	s.Label("head")
	s.head()
	s.ADDQ(I32(softmaxBlock), softmaxLogits)
	for _, r := range []reg.Register{softmaxMax, softmaxRescale, softmaxPart} {
		s.ADDQ(U8(4), r)
	}
	s.DECQ(softmaxLeft)
	s.JNZ(LabelRef("head"))

	s.arg("max", softmaxMax)
	s.arg("rescale", softmaxRescale)
	s.arg("part", softmaxPart)
	s.Label("heads")
	x, sum := s.vec(0), s.vec(5)
	s.VMOVUPS(Mem{Base: softmaxRescale}, x)
	s.VSUBPS(Mem{Base: softmaxMax}, x, x)
	s.exp(x, s.vec(1), s.vec(2), s.vec(3))
	s.VMOVUPS(x, Mem{Base: softmaxRescale})
	s.VMOVUPS(Mem{Base: softmaxSum}, sum)
	s.VFMADD213PS(Mem{Base: softmaxPart}, x, sum)
	s.VMOVUPS(sum, Mem{Base: softmaxSum})
	for _, r := range []reg.Register{softmaxMax, softmaxSum, softmaxRescale, softmaxPart} {
		s.ADDQ(U8(4*s.lanes), r)
	}
	s.SUBQ(U8(s.lanes), softmaxHeads)
	s.JG(LabelRef("heads"))
	s.end()
}

// head emits the first loop's body. The maximum goes through two registers and the sum through two, one for
// each half of a step under AVX2.
func (s *softmaxer) head() {
	x, top, sum := s.vec(0), s.vec(4), s.vec(5)
	at := func(base reg.Register) Mem { return Mem{Base: base, Index: softmaxAt, Scale: 4} }
	s.VBROADCASTSS(Mem{Base: softmaxMax}, top)
	s.XORQ(softmaxAt, softmaxAt)
	s.Label("top")
	s.VMOVUPS(at(softmaxLogits), x)
	s.VMULPS(at(softmaxK), x, x)
	s.VMOVUPS(x, at(softmaxLogits))
	s.VMAXPS(x, top, top)
	s.ADDQ(U8(s.lanes), softmaxAt)
	s.CMPQ(softmaxAt, softmaxSteps)
	s.JLT(LabelRef("top"))
	s.across(top, s.vec(1), s.VMAXPS)
	s.VBROADCASTSS(top.AsX(), top)
	s.VMOVSS(Mem{Base: softmaxMax}, s.vec(1).AsX())
	s.VMOVSS(s.vec(1).AsX(), Mem{Base: softmaxRescale})
	s.VMOVSS(top.AsX(), Mem{Base: softmaxMax})

	s.zero(sum)
	s.XORQ(softmaxAt, softmaxAt)
	s.Label("exps")
	s.VMOVUPS(at(softmaxLogits), x)
	s.VSUBPS(top, x, x)
	s.exp(x, s.vec(1), s.vec(2), s.vec(3))
	s.VADDPS(x, sum, sum)
	s.VMULPS(at(softmaxV), x, x)
	s.VMOVUPS(x, at(softmaxLogits))
	s.ADDQ(U8(s.lanes), softmaxAt)
	s.CMPQ(softmaxAt, softmaxSteps)
	s.JLT(LabelRef("exps"))
	s.across(sum, s.vec(1), s.VADDPS)
	s.VMOVSS(sum.AsX(), Mem{Base: softmaxPart})
}

// across combines the lanes of v into its lowest; t is free.
func (g *gen) across(v, t reg.VecPhysical, op func(...Op)) {
	if g.wide() {
		g.VEXTRACTF64X4(U8(1), v, t.AsY())
		op(t.AsY(), v.AsY(), v.AsY())
	}
	g.VEXTRACTF128(U8(1), v.AsY(), t.AsX())
	op(t.AsX(), v.AsX(), v.AsX())
	g.VPERMILPS(U8(0x4e), v.AsX(), t.AsX()) // lanes 2 and 3
	op(t.AsX(), v.AsX(), v.AsX())
	g.VPERMILPS(U8(1), v.AsX(), t.AsX()) // lane 1
	op(t.AsX(), v.AsX(), v.AsX())
}

// exp emits x = e^x for x <= 0; exp.go has the method. n, p and keep are free.
func (g *gen) exp(x, n, p, keep reg.VecPhysical) {
	g.VMULPS(g.word("log2e", math.Float32bits(1.44269504)), x, n)
	if g.wide() {
		g.VCMPPS(U8(13), g.word("least", math.Float32bits(-87)), x, reg.K1) // 13: greater or equal
		g.VRNDSCALEPS(U8(8), n, n)                                          // 8: to nearest even
	} else {
		g.VCMPPS(U8(13), g.word("least", math.Float32bits(-87)), x, keep)
		g.VROUNDPS(U8(8), n, n)
	}
	g.VFNMADD231PS(g.word("ln2Hi", math.Float32bits(0.693359375)), n, x)
	g.VFNMADD231PS(g.word("ln2Lo", math.Float32bits(-2.12194440e-4)), n, x)
	g.VMOVUPS(g.word("c7", math.Float32bits(1.9875691500e-4)), p)
	for _, c := range []struct {
		name  string
		value float32
	}{
		{"c6", 1.3981999507e-3},
		{"c5", 8.3334519073e-3},
		{"c4", 4.1665795894e-2},
		{"c3", 1.6666665459e-1},
		{"c2", 5.0000001201e-1},
		{"c1", 1},
		{"c0", 1},
	} {
		g.VFMADD213PS(g.word(c.name, math.Float32bits(c.value)), x, p)
	}
	if g.wide() {
		g.VSCALEFPS_Z(n, p, reg.K1, x)
		return
	}
	g.VCVTPS2DQ(n, n)
	g.VPADDD(g.word("bias", 127), n, n)
	g.VPSLLD(U8(23), n, n)
	g.VMULPS(n, p, p)
	g.VPAND(keep, p, x)
}

// word is a read-only vector of one repeated word.
func (g *gen) word(name string, w uint32) Mem {
	return g.table(name, func(int) uint32 { return w })
}
