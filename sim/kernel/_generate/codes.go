package main

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// codes emits what makes codes of values: their range, their size, and how they are rounded.
func codes(g *gen) {
	ranges(g)
	sizes(g)
	for _, r := range []struct {
		name, doc, loop string
		args            []string
		round           func(g *gen, args map[string]reg.VecPhysical, x, y, z reg.VecPhysical)
	}{
		{"roundEven", "rounds to whole numbers, ties to even, within least..most.", "roundToEven(within(x[i], least, most))", []string{"least", "most"}, even},
		{"roundAway", "rounds to whole numbers, ties away from zero, within least..most.", "round(within(x[i], least, most))", []string{"least", "most"}, away},
		{"roundFloat", "rounds to the nearest codes of a minifloat of 8 bits, whose numbers the arguments are the bits of.", "minifloat.round(x[i])", []string{"normal", "unit", "below", "base", "most", "drop"}, float},
		{"roundDown", "drops what is behind the point of x + zero + half, within least..most.", "within(x[i] + zero + half, least, most)", []string{"least", "most", "zero", "half"}, down},
	} {
		rounding(g, r.name, r.doc, r.loop, r.args, r.round)
	}
	steps(g)
	hadamard(g)
}

// ranges emits the smallest and the largest of some values, as whole numbers in the order of the values.
func ranges(g *gen) {
	g.function("extent", "func(x *float32, n int) (low, high int32)", "returns the smallest and the largest of n values, whole steps, of which ordered(bits) is taken.",
		"for i := range n {", "\tlow, high = min(low, ordered(x[i])), max(high, ordered(x[i]))", "}")
	var (
		x, left        = reg.RSI, reg.RCX
		v, sign        = g.vec(0), g.vec(1)
		low, high      = g.vec(2), g.vec(3)
		lowest, higher = g.vec(4), g.vec(5)
	)
	g.arg("x", x)
	g.arg("n", left)
	g.VMOVUPS(g.word("mostInt", math.MaxInt32), low)
	g.VMOVUPS(g.word("leastInt", 1<<31), high)
	g.Label("next")
	g.VMOVUPS(Mem{Base: x}, v)
	g.VPSRAD(U8(31), v, sign)
	g.VPSRLD(U8(1), sign, sign)
	g.xor(sign, v, v)
	g.VPMINSD(v, low, low)
	g.VPMAXSD(v, high, high)
	g.ADDQ(U8(4*g.lanes), x)
	g.SUBQ(U8(g.lanes), left)
	g.JG(LabelRef("next"))
	if g.wide() {
		g.VEXTRACTI64X4(U8(1), low, lowest.AsY())
		g.VEXTRACTI64X4(U8(1), high, higher.AsY())
		g.VPMINSD(lowest.AsY(), low.AsY(), low.AsY())
		g.VPMAXSD(higher.AsY(), high.AsY(), high.AsY())
	}
	g.VEXTRACTI128(U8(1), low.AsY(), lowest.AsX())
	g.VEXTRACTI128(U8(1), high.AsY(), higher.AsX())
	for _, swap := range []uint8{0x4e, 0xb1, 0} {
		g.VPMINSD(lowest.AsX(), low.AsX(), low.AsX())
		g.VPMAXSD(higher.AsX(), high.AsX(), high.AsX())
		if swap > 0 {
			g.VPSHUFD(U8(swap), low.AsX(), lowest.AsX())
			g.VPSHUFD(U8(swap), high.AsX(), higher.AsX())
		}
	}
	g.VMOVD(low.AsX(), reg.EAX)
	g.VMOVD(high.AsX(), reg.EDX)
	g.Store(reg.EAX, g.ReturnIndex(0))
	g.Store(reg.EDX, g.ReturnIndex(1))
	g.end()
}

// VMOVDQU32or moves whole registers of integers.
func (g *gen) VMOVDQU32or(from, to Op) { g.VMOVUPS(from, to) }

// xor is the exclusive or of two registers.
func (g *gen) xor(a, b, to reg.VecPhysical) {
	if g.wide() {
		g.VPXORD(a, b, to)
	} else {
		g.VPXOR(a, b, to)
	}
}

// and is that of a register and a word, or of two registers.
func (g *gen) and(a Op, b, to reg.VecPhysical) {
	if g.wide() {
		g.VPANDD(a, b, to)
	} else {
		g.VPAND(a, b, to)
	}
}

// or is that of two registers.
func (g *gen) or(a Op, b, to reg.VecPhysical) {
	if g.wide() {
		g.VPORD(a, b, to)
	} else {
		g.VPOR(a, b, to)
	}
}

// sizes emits what brings values to the size of codes.
func sizes(g *gen) {
	for _, f := range []struct {
		name, doc, loop, more string
		size                  func(v, factor, zero reg.VecPhysical)
	}{
		{"multiplied", "sets dst to (x-least)*factor, n values, whole steps.", "(x[i] - least) * factor", "", func(v, factor, _ reg.VecPhysical) { g.VMULPS(factor, v, v) }},
		{"divided", "sets dst to (x-least)/factor + zero, n values, whole steps.", "(x[i]-least)/factor + zero", ", zero", func(v, factor, zero reg.VecPhysical) {
			g.VDIVPS(factor, v, v)
			g.VADDPS(zero, v, v)
		}},
	} {
		g.function(f.name, "func(dst, x *float32, n int, least, factor"+f.more+" float32)", f.doc, "for i := range n {", "\tdst[i] = "+f.loop, "}")
		var (
			dst, x, left           = reg.RDI, reg.RSI, reg.RCX
			v, least, factor, zero = g.vec(0), g.vec(1), g.vec(2), g.vec(3)
		)
		g.arg("dst", dst)
		g.arg("x", x)
		g.arg("n", left)
		g.scalar("least", least)
		g.scalar("factor", factor)
		if f.more != "" {
			g.scalar("zero", zero)
		}
		g.Label("next")
		g.VMOVUPS(Mem{Base: x}, v)
		g.VSUBPS(least, v, v)
		f.size(v, factor, zero)
		g.VMOVUPS(v, Mem{Base: dst})
		g.ADDQ(U8(4*g.lanes), x)
		g.ADDQ(U8(4*g.lanes), dst)
		g.SUBQ(U8(g.lanes), left)
		g.JG(LabelRef("next"))
		g.end()
	}
}

// scalar puts a parameter into all lanes.
func (g *gen) scalar(name string, v reg.VecPhysical) {
	g.Load(g.Param(name), v.AsX())
	g.VBROADCASTSS(v.AsX(), v)
}

// rounding emits a kernel that makes a byte of each value.
func rounding(g *gen, name, doc, loop string, args []string, round func(g *gen, args map[string]reg.VecPhysical, x, y, z reg.VecPhysical)) {
	signature := "func(dst *byte, x *float32, n int"
	for _, a := range args {
		signature += ", " + a + " float32"
	}
	g.function(name, signature+")", doc, "for i := range n { // whole steps", "\tdst[i] = byte("+loop+")", "}")
	values := map[string]reg.VecPhysical{}
	for i, a := range args {
		values[a] = g.vec(8 + i)
		if a == "drop" { // of a shift, which reads more than one lane
			g.Load(g.Param(a), values[a].AsX())
			continue
		}
		g.scalar(a, values[a])
	}
	g.bytes(func(x, y, z reg.VecPhysical) { round(g, values, x, y, z) })
}

// bytes emits the loop of a kernel that makes bytes, the lowest of each lane, in steps of 16 values, and closes the function.
// code has two registers more.
func (g *gen) bytes(code func(x, y, z reg.VecPhysical)) {
	dst, x, left := reg.RDI, reg.RSI, reg.RCX
	g.arg("dst", dst)
	g.arg("x", x)
	g.arg("n", left)
	g.Label("next")
	for i := range step / g.lanes {
		v := g.vec(3 * i)
		g.VMOVUPS(Mem{Base: x, Disp: 4 * g.lanes * i}, v)
		code(v, g.vec(3*i+1), g.vec(3*i+2))
	}
	if g.wide() {
		g.VPMOVDB(g.vec(0), Mem{Base: dst})
	} else {
		a, b := g.vec(0), g.vec(3)
		g.and(g.word("lowByte", 0xff), a, a)
		g.and(g.word("lowByte", 0xff), b, b)
		g.VPACKUSDW(b, a, a)
		g.VPERMQ(U8(0xd8), a, a) // the halves of both registers had been mixed
		g.VEXTRACTI128(U8(1), a, b.AsX())
		g.VPACKUSWB(b.AsX(), a.AsX(), a.AsX())
		g.VMOVDQU(a.AsX(), Mem{Base: dst})
	}
	g.ADDQ(U8(4*step), x)
	g.ADDQ(U8(step), dst)
	g.SUBQ(U8(step), left)
	g.JG(LabelRef("next"))
	g.end()
}

// clamp brings x within least..most; what is not a number stays so.
func (g *gen) clamp(args map[string]reg.VecPhysical, x reg.VecPhysical) {
	g.VMAXPS(x, args["least"], x)
	g.VMINPS(x, args["most"], x)
}

// even adds a number that has no bits below 1.
func even(g *gen, args map[string]reg.VecPhysical, x, _, _ reg.VecPhysical) {
	g.clamp(args, x)
	g.VADDPS(g.word("whole", math.Float32bits(3<<22)), x, x)
}

// away adds what is just below a half, with the sign of x: the sum of that and a half is rounded to 1.
func away(g *gen, args map[string]reg.VecPhysical, x, y, _ reg.VecPhysical) {
	g.clamp(args, x)
	g.and(g.word("sign", 1<<31), x, y)
	g.or(g.word("almostHalf", math.Float32bits(math.Nextafter32(0.5, 0))), y, y)
	g.VADDPS(y, x, x)
	g.VCVTTPS2DQ(x, x)
}

func down(g *gen, args map[string]reg.VecPhysical, x, _, _ reg.VecPhysical) {
	g.VADDPS(args["zero"], x, x)
	g.VADDPS(args["half"], x, x)
	g.clamp(args, x)
	g.VCVTTPS2DQ(x, x)
}

// float rounds what is a normal number of the format by its bits, and what is not by a sum with a number whose last place is the
// smallest code.
func float(g *gen, args map[string]reg.VecPhysical, x, y, z reg.VecPhysical) {
	code, drop := g.vec(7), args["drop"].AsX()
	g.VPSRLD(U8(24), x, code)
	g.and(g.word("signOfByte", 0x80), code, code)
	g.and(g.word("unsigned", 1<<31-1), x, x)
	g.VPSRLD(drop, x, y)
	g.and(g.word("one", 1), y, y)
	g.VPADDD(args["below"], y, y)
	g.VPADDD(x, y, y)
	g.VPSRLD(drop, y, y)
	g.VPSUBD(args["base"], y, y)
	g.VADDPS(args["unit"], x, z)
	g.VPSUBD(args["unit"], z, z)
	if g.wide() {
		g.VPCMPGTD(x, args["normal"], reg.K1)
		g.VPBLENDMD(z, y, reg.K1, y)
	} else {
		g.VPCMPGTD(x, args["normal"], x)
		g.VBLENDVPS(x, z, y, y)
	}
	g.VPMINSD(args["most"], y, y)
	g.or(code, y, x)
}

// steps emits codes that are numbers of steps reached.
func steps(g *gen) {
	for _, f := range []struct {
		name, doc, loop, more string
		signed                bool
	}{
		{"roundSteps", "counts the steps, 15 of them, that values have reached.", "reached(x[i])", "", false},
		{
			"roundSigned", "counts the steps, 15 of them, that the magnitudes of x + zero have reached, and adds the sign as the fourth bit.",
			"reached(abs(x[i]+zero)) | sign(x[i]+zero)<<3", ", zero float32", true,
		},
	} {
		g.function(f.name, "func(dst *byte, x *float32, n int, steps *float32"+f.more+")", f.doc, "for i := range n { // whole steps", "\tdst[i] = "+f.loop, "}")
		at, zero, step, one := reg.RDX, g.vec(8), g.vec(9), g.vec(10)
		g.arg("steps", at)
		if f.signed {
			g.scalar("zero", zero)
		}
		if g.wide() {
			g.VMOVUPS(g.word("one", 1), one)
		}
		g.bytes(func(x, count, z reg.VecPhysical) {
			if f.signed {
				g.VADDPS(zero, x, x)
				g.VPSRLD(U8(31), x, count)
				g.VPSLLD(U8(3), count, count)
				g.and(g.word("unsigned", 1<<31-1), x, x)
			} else {
				g.zero(count)
			}
			for i := range 15 {
				g.VBROADCASTSS(Mem{Base: at, Disp: 4 * i}, step)
				if g.wide() {
					g.VCMPPS(U8(13), step, x, reg.K1) // 13: greater or equal
					g.VPADDD(one, count, reg.K1, count)
				} else {
					g.VCMPPS(U8(13), step, x, z)
					g.VPSUBD(z, count, count)
				}
			}
			g.VMOVUPS(count, x)
		})
	}
}

// hadamard emits the transform of Sylvester: values that are less than a register apart are in one, which is added to itself
// in another order, and the others in two.
func hadamard(g *gen) {
	g.function("hadamard", "func(x *float32, n int, signs *float32, scale float32)",
		"multiplies x, n values, a power of two and whole steps, by the matrix of Sylvester and by scale. signs is [4][16], -1 where the number of a lane has bit 1, 2, 4 or 8.",
		"for d := 1; d < n; d *= 2 {", "\tfor each i without d {", "\t\tx[i], x[i+d] = x[i]+x[i+d], x[i]-x[i+d]", "\t}", "}")
	var (
		x, n, at, end = reg.RSI, reg.RCX, reg.RAX, reg.RDX
		signs, stride = reg.R8, reg.R9
		half          = reg.R10
		v, w, scale   = g.vec(0), g.vec(1), g.vec(2)
	)
	g.arg("x", x)
	g.arg("n", n)
	g.arg("signs", signs)
	g.scalar("scale", scale)
	g.SHLQ(U8(2), n) // in bytes
	passes := 3
	if g.wide() {
		passes = 4
	}
	for p := range passes {
		g.VMOVUPS(Mem{Base: signs, Disp: 64 * p}, g.vec(4+p))
	}
	g.MOVQ(x, at)
	g.LEAQ(Mem{Base: x, Index: n, Scale: 1}, end)
	g.Label("within")
	g.VMOVUPS(Mem{Base: at}, v)
	for p := range passes {
		switch {
		case p < 2:
			g.VPERMILPS(U8([]uint8{0xb1, 0x4e}[p]), v, w)
		case g.wide():
			g.VSHUFF32X4(U8([]uint8{0xb1, 0x4e}[p-2]), v, v, w)
		default:
			g.VPERM2F128(U8(1), v, v, w)
		}
		g.VFMADD213PS(w, g.vec(4+p), v) // the product is exact
	}
	g.VMOVUPS(v, Mem{Base: at})
	g.ADDQ(U8(4*g.lanes), at)
	g.CMPQ(at, end)
	g.JB(LabelRef("within"))

	g.MOVQ(U32(4*g.lanes), stride)
	g.Label("stride")
	g.CMPQ(stride, n)
	g.JAE(LabelRef("scaled"))
	g.MOVQ(x, at)
	g.Label("pairs")
	g.LEAQ(Mem{Base: at, Index: stride, Scale: 1}, half)
	g.Label("pair")
	g.VMOVUPS(Mem{Base: at}, v)
	g.VMOVUPS(Mem{Base: at, Index: stride, Scale: 1}, w)
	g.VADDPS(w, v, g.vec(3))
	g.VSUBPS(w, v, v)
	g.VMOVUPS(g.vec(3), Mem{Base: at})
	g.VMOVUPS(v, Mem{Base: at, Index: stride, Scale: 1})
	g.ADDQ(U8(4*g.lanes), at)
	g.CMPQ(at, half)
	g.JB(LabelRef("pair"))
	g.ADDQ(stride, at)
	g.CMPQ(at, end)
	g.JB(LabelRef("pairs"))
	g.SHLQ(U8(1), stride)
	g.JMP(LabelRef("stride"))

	g.Label("scaled")
	g.MOVQ(x, at)
	g.Label("last")
	g.VMULPS(Mem{Base: at}, scale, v)
	g.VMOVUPS(v, Mem{Base: at})
	g.ADDQ(U8(4*g.lanes), at)
	g.CMPQ(at, end)
	g.JB(LabelRef("last"))
	g.end()
}
