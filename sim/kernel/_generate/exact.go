package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// exact emits what the float64 reference runs on: a product of matrices and the exponential.
func exact(g *gen) {
	for _, heads := range g.tiles {
		g.product(heads)
	}
	g.exps64()
	if !g.wide() {
		g.transpose()
	}
}

// transpose emits squares of 8 by 8 numbers, turned in registers: pairs of rows are interleaved, then pairs of those, and the
// halves put together. AVX-512 runs it too: loads and stores bound it.
func (g *gen) transpose() {
	g.function("transpose", "func(dst, src *float32, dim, rows, cols int)",
		fmt.Sprintf("writes the first columns of rows of dim numbers to rows of %d; rows and columns are multiples of 8.", blockRows),
		"for i := range rows {",
		"\tfor d := range cols {",
		fmt.Sprintf("\t\tdst[%d*d+i] = src[dim*i+d]", blockRows),
		"\t}",
		"}")
	var (
		dst, src, stride, triple = reg.RDI, reg.RSI, reg.R8, reg.R9
		row, behind, to          = reg.RAX, reg.RBX, reg.R10
		rows, left, cols         = reg.R11, reg.RDX, reg.RCX
	)
	g.arg("dst", dst)
	g.arg("src", src)
	g.arg("dim", stride)
	g.arg("rows", rows)
	g.arg("cols", cols)
	g.SHLQ(U8(2), stride)
	g.LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, triple)
	g.Label("columns")
	g.MOVQ(src, row)
	g.MOVQ(dst, to)
	g.MOVQ(rows, left)
	g.Label("square")
	g.LEAQ(Mem{Base: row, Index: stride, Scale: 4}, behind)
	a, b := g.vecs(0, 8), g.vecs(8, 8)
	for i, base := range []reg.Register{row, behind} {
		for j, m := range strided(4, base, stride, triple) {
			g.VMOVUPS(m, a[4*i+j])
		}
	}
	for i := 0; i < 8; i += 2 {
		g.VUNPCKLPS(a[i+1], a[i], b[i])
		g.VUNPCKHPS(a[i+1], a[i], b[i+1])
	}
	for i := 0; i < 8; i += 4 {
		g.VUNPCKLPD(b[i+2], b[i], a[i])
		g.VUNPCKHPD(b[i+2], b[i], a[i+1])
		g.VUNPCKLPD(b[i+3], b[i+1], a[i+2])
		g.VUNPCKHPD(b[i+3], b[i+1], a[i+3])
	}
	for i := range 4 {
		g.VPERM2F128(U8(0x20), a[i+4], a[i], b[i])
		g.VPERM2F128(U8(0x31), a[i+4], a[i], b[i+4])
	}
	for d, v := range b {
		g.VMOVUPS(v, Mem{Base: to, Disp: 4 * blockRows * d})
	}
	g.LEAQ(Mem{Base: behind, Index: stride, Scale: 4}, row)
	g.ADDQ(U8(32), to)
	g.SUBQ(U8(8), left)
	g.JG(LabelRef("square"))
	g.ADDQ(U8(32), src)
	g.ADDQ(I32(4*blockRows*8), dst)
	g.SUBQ(U8(8), cols)
	g.JG(LabelRef("columns"))
	g.end()
}

// product emits the product of some rows of a with b. A stripe of columns has its accumulators in registers and goes
// down b: for each of its rows a load with conversion a register of columns, a broadcast of a a head, and heads
// multiply-adds a register.
func (g *gen) product(heads int) {
	g.function(fmt.Sprintf("product%d", heads), "func(a *float64, aStride int, b *float32, bStride, n, cols int, out *float64, outStride int)",
		fmt.Sprintf("adds %d rows of a times b, whole steps of columns, to out; strides are in bytes.", heads),
		fmt.Sprintf("for h := range %d {", heads),
		"\tfor c := range cols {",
		"\t\tout[h][c] += sum over i < n of a[h][i] * float64(b[i][c])",
		"\t}",
		"}")
	var (
		a, aStride, aTriple = reg.RSI, reg.R8, reg.R9
		row, stride         = reg.RAX, reg.RBX
		base, left          = reg.R11, reg.RDX
		out, at, hop        = reg.R10, reg.RCX, reg.R12
		cols                = reg.R13
	)
	g.arg("aStride", aStride)
	g.LEAQ(Mem{Base: aStride, Index: aStride, Scale: 2}, aTriple)
	g.arg("b", base)
	g.arg("bStride", stride)
	g.arg("out", out)
	g.arg("outStride", hop)
	g.arg("cols", cols)
	lanes := g.lanes / 2
	widths := []int{4, 2} // registers in a stripe, down to a step
	if 4*lanes == step {
		widths = widths[:1]
	}
	for _, n := range widths {
		name, next := fmt.Sprintf("stripe%d", n), fmt.Sprintf("below%d", n)
		each := func(f func(acc reg.VecPhysical, m Mem)) {
			g.MOVQ(out, at)
			for h := range heads {
				for j := range n {
					f(g.vec(h*n+j), Mem{Base: at, Disp: 8 * j * lanes})
				}
				g.ADDQ(hop, at)
			}
		}
		x := g.vec(heads * n)
		weights := g.vecs(heads*n+1, heads)
		g.Label(name)
		g.CMPQ(cols, U8(n*lanes))
		g.JLT(LabelRef(next))
		each(func(acc reg.VecPhysical, m Mem) { g.VMOVUPD(m, acc) })
		g.arg("a", a)
		g.arg("n", left)
		g.MOVQ(base, row)
		g.Label(name + "_row")
		for h, m := range strided(heads, a, aStride, aTriple) {
			g.VBROADCASTSD(m, weights[h])
		}
		for j := range n {
			g.VCVTPS2PD(Mem{Base: row, Disp: 4 * j * lanes}, x)
			for h := range heads {
				g.VFMADD231PD(x, weights[h], g.vec(h*n+j))
			}
		}
		g.ADDQ(stride, row)
		g.ADDQ(U8(8), a)
		g.DECQ(left)
		g.JNZ(LabelRef(name + "_row"))
		each(func(acc reg.VecPhysical, m Mem) { g.VMOVUPD(acc, m) })
		g.ADDQ(I32(8*n*lanes), out)
		g.ADDQ(I32(4*n*lanes), base)
		g.SUBQ(U8(n*lanes), cols)
		g.JMP(LabelRef(name))
		g.Label(next)
	}
	g.end()
}

// exps64 emits the exponential in double precision by Cephes' method (S. Moshier, exp): x = n*ln 2 + f, and
// e^f = 1 + 2*f*P(f*f) / (Q(f*f) - f*P(f*f)). Its error is below 2 units in the last place.
func (g *gen) exps64() {
	g.function("exps64", "func(dst, src *float64, n int, shift float64) float64",
		"writes e^(src-shift) of n values, whole steps, none above 0, and returns their sum; below e^-708 it is zero.",
		"for i := range n {",
		"\tdst[i] = math.Exp(src[i] - shift)",
		"\tsum += dst[i]",
		"}")
	var (
		src, dst, n = reg.RSI, reg.RDI, reg.RCX
		lanes       = g.lanes / 2
	)
	shift, sum, x, k, f2, p, q, keep := g.vec(0), g.vec(1), g.vec(2), g.vec(3), g.vec(4), g.vec(5), g.vec(6), g.vec(7)
	g.arg("src", src)
	g.arg("dst", dst)
	g.arg("n", n)
	g.Load(g.Param("shift"), shift.AsX())
	g.VBROADCASTSD(shift.AsX(), shift)
	g.zero(sum)
	g.Label("next")
	g.VMOVUPD(Mem{Base: src}, x)
	g.VSUBPD(shift, x, x)
	g.VMULPD(g.double("log2e", math.Log2E), x, k)
	if g.wide() {
		g.VCMPPD(U8(13), g.double("least", -708), x, reg.K1) // 13: greater or equal
		g.VRNDSCALEPD(U8(8), k, k)                           // 8: to nearest even
	} else {
		g.VCMPPD(U8(13), g.double("least", -708), x, keep)
		g.VROUNDPD(U8(8), k, k)
	}
	g.VFNMADD231PD(g.double("ln2hi", 6.93145751953125e-1), k, x)
	g.VFNMADD231PD(g.double("ln2lo", 1.42860682030941723212e-6), k, x)
	g.VMULPD(x, x, f2)
	g.VMOVUPD(g.double("p0", 1.26177193074810590878e-4), p)
	g.VFMADD213PD(g.double("p1", 3.02994407707441961300e-2), f2, p)
	g.VFMADD213PD(g.double("p2", 9.99999999999999999910e-1), f2, p)
	g.VMULPD(x, p, p)
	g.VMOVUPD(g.double("q0", 3.00198505138664455042e-6), q)
	g.VFMADD213PD(g.double("q1", 2.52448340349684104192e-3), f2, q)
	g.VFMADD213PD(g.double("q2", 2.27265548208155028766e-1), f2, q)
	g.VFMADD213PD(g.double("q3", 2), f2, q)
	g.VSUBPD(p, q, q)
	g.VDIVPD(q, p, p)
	g.VADDPD(p, p, p)
	g.VADDPD(g.double("one", 1), p, p)
	if g.wide() {
		g.VSCALEFPD_Z(k, p, reg.K1, x)
	} else {
		g.VCVTPD2DQY(k, k.AsX())
		g.VPMOVSXDQ(k.AsX(), k)
		g.VPADDQ(g.quad("bias64", 1023), k, k)
		g.VPSLLQ(U8(52), k, k)
		g.VMULPD(k, p, p)
		g.VPAND(keep, p, x)
	}
	g.VMOVUPD(x, Mem{Base: dst})
	g.VADDPD(x, sum, sum)
	g.ADDQ(U8(8*lanes), src)
	g.ADDQ(U8(8*lanes), dst)
	g.SUBQ(U8(lanes), n)
	g.JG(LabelRef("next"))
	g.acrossDoubles(sum, x)
	g.Store(sum.AsX(), g.ReturnIndex(0))
	g.end()
}

// acrossDoubles adds the lanes of v into its lowest; t is free.
func (g *gen) acrossDoubles(v, t reg.VecPhysical) {
	if g.wide() {
		g.VEXTRACTF64X4(U8(1), v, t.AsY())
		g.VADDPD(t.AsY(), v.AsY(), v.AsY())
	}
	g.VEXTRACTF128(U8(1), v.AsY(), t.AsX())
	g.VADDPD(t.AsX(), v.AsX(), v.AsX())
	g.VPERMILPD(U8(1), v.AsX(), t.AsX())
	g.VADDSD(t.AsX(), v.AsX(), v.AsX())
}

// double is a read-only vector of one repeated number.
func (g *gen) double(name string, x float64) Mem { return g.quad(name+"64", math.Float64bits(x)) }

// quad is a read-only vector of one repeated 64-bit word.
func (g *gen) quad(name string, w uint64) Mem {
	return g.table(name, func(i int) uint32 { return uint32(w >> (32 * (i % 2))) })
}
