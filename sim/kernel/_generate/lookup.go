package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// lookUp emits the decoding of rows of codes, 32 channels a round, whose packing is that of packing.go. Scales and
// minima advance by half bytes from the first 16 channels of a round to the others, by round from round to round and
// by behind at the end of a row.
func lookUp(g *gen) {
	for _, f := range []form{
		{"Nibble", 16, "table[code[i][d]]"},
		{"Pair", 8, "table[code[i][d]]"},
		{"Triple", 12, "table[code[i][d]]"},
		{"Five", 20, "code[i][d]"},
		{"Byte", 32, "code[i][d]"},
		{"Signed", 32, "int8(code[i][d])"},
		{"E4M3", 32, "e4m3Table[code[i][d]]/256"},
		{"E5M2", 32, "e5m2Table[code[i][d]]"},
	} {
		l := &lookup{gen: g, f: f}
		l.emit()
	}
}

// form is how a code becomes a float, and the bytes of 32 of them. Codes of 2 to 4 bits name an entry of a table of
// 16, repeated where there are fewer; the others become what a widener makes of them.
type form struct {
	name  string
	bytes int
	value string // what stubs call the float of a code
}

type lookup struct {
	*gen
	f       form
	entries [2]reg.VecPhysical // of the table; in AVX-512 it fits the first, and the second is the bit of Triple
	codes   reg.VecPhysical    // as loaded
	index   reg.VecPhysical    // of each lane
	mask    reg.VecPhysical
	in      *widener // of the forms without a table
	shifts  [2]reg.VecPhysical
	x, y    reg.VecPhysical
}

func (l *lookup) emit() {
	l.function("lookUp"+l.f.name, "func(dst *float32, dstStride int, rows *byte, stride, n, dim int, table, scale, least *float32, half, round, behind int, next *byte)",
		"decodes n rows of dim channels, a multiple of 32; strides are in bytes.",
		"for i := range n {",
		"\tfor d := range dim {",
		"\t\tdst[i][d] = scale[block of d in row i]*"+l.f.value+" + least[block of d in row i]",
		"\t}",
		"}")
	var (
		dst, to, dstStride = reg.RDI, reg.R8, reg.R9
		rows, row, stride  = reg.RSI, reg.R10, reg.R11
		scale, least       = reg.RAX, reg.RBX
		left, cols, next   = reg.RCX, reg.RDX, reg.R12
		half, round        = reg.R13, reg.R15
	)
	l.entries = [2]reg.VecPhysical{l.vec(0), l.vec(1)}
	l.codes, l.index, l.mask = l.vec(2), l.vec(3), l.vec(4)
	l.shifts = [2]reg.VecPhysical{l.vec(5), l.vec(6)}
	l.x, l.y = l.vec(7), l.vec(8)
	l.prepare(half)
	l.arg("half", half)
	l.arg("round", round)
	l.arg("dst", dst)
	l.arg("dstStride", dstStride)
	l.arg("rows", rows)
	l.arg("stride", stride)
	l.arg("n", left)
	l.arg("scale", scale)
	l.arg("least", least)
	l.arg("next", next)
	l.Label("row")
	l.MOVQ(dst, to)
	l.MOVQ(rows, row)
	l.arg("dim", cols)
	l.Label("round")
	l.prefetch(Mem{Base: next}, 1)
	order := []int{0, 2, 1, 3}
	if l.wide() {
		order = []int{0, 1}
	}
	for _, v := range order {
		l.load(v, Mem{Base: row})
		factor, offset := Mem{Base: scale}, Mem{Base: least}
		if v*l.lanes >= 16 {
			factor.Index, factor.Scale = half, 1
			offset.Index, offset.Scale = half, 1
		}
		l.VBROADCASTSS(factor, l.y)
		l.VMULPS(l.y, l.x, l.x)
		l.VBROADCASTSS(offset, l.y)
		l.VADDPS(l.y, l.x, l.x)
		l.VMOVUPS(l.x, Mem{Base: to, Disp: 4 * v * l.lanes})
	}
	l.ADDQ(U8(l.f.bytes), row)
	l.ADDQ(U8(l.f.bytes), next)
	l.ADDQ(I32(4*32), to)
	l.ADDQ(round, scale)
	l.ADDQ(round, least)
	l.SUBQ(U8(32), cols)
	l.JG(LabelRef("round"))
	l.arg("behind", cols)
	l.ADDQ(cols, scale)
	l.ADDQ(cols, least)
	l.ADDQ(dstStride, dst)
	l.ADDQ(stride, rows)
	l.DECQ(left)
	l.JNZ(LabelRef("row"))
	l.end()
}

// prepare loads what all rows share.
func (l *lookup) prepare(table reg.Register) {
	switch l.f.name {
	case "Nibble", "Pair", "Triple":
		l.arg("table", table)
		l.VMOVUPS(Mem{Base: table}, l.entries[0])
		if !l.wide() {
			l.VMOVUPS(Mem{Base: table, Disp: 32}, l.entries[1])
		}
	default:
		l.in = &widener{gen: l.gen, f: format{name: l.f.name}, codes: l.codes, fixed: l.mask, bits: l.y}
		l.in.prepare()
	}
	if l.f.name == "Triple" {
		l.VMOVUPS(l.gen.table("pair", func(int) uint32 { return 3 }), l.mask)
	}
	if l.wide() && (l.f.name == "Pair" || l.f.name == "Triple") {
		l.VMOVUPS(l.gen.table("first", func(i int) uint32 { return uint32(i / 8 * 2) }), l.shifts[0])
		l.VMOVUPS(l.gen.table("second", func(i int) uint32 { return uint32(i/8*2 + 4) }), l.shifts[1])
	}
	if l.f.name != "Triple" {
		return
	}
	if l.wide() {
		l.VMOVUPS(l.gen.table("third", func(int) uint32 { return 4 }), l.entries[1])
	} else {
		l.VMOVUPS(l.gen.table("lane", func(i int) uint32 { return uint32(i) }), l.shifts[0])
		l.VMOVUPS(l.gen.table("third", func(int) uint32 { return 4 }), l.shifts[1])
	}
}

// load puts the values of vector v of a round, codes at m, into x. Vectors come in the order of emit, so that
// those which share bytes follow each other.
func (l *lookup) load(v int, m Mem) {
	switch l.f.name {
	case "Nibble":
		if l.wide() {
			if v == 0 {
				l.VPMOVZXBD(m, l.codes)
			} else {
				l.VPSRLD(U8(4), l.codes, l.codes)
			}
			l.VPERMPS(l.entries[0], l.codes, l.x)
			return
		}
		if v < 2 {
			l.VPMOVZXBD(m.Offset(8*v), l.codes)
		} else {
			l.VPSRLD(U8(4), l.codes, l.codes)
		}
		l.VPERMPS(l.entries[0], l.codes, l.x)
		l.VPERMPS(l.entries[1], l.codes, l.y)
		l.VPSLLD(U8(28), l.codes, l.index)
		l.VBLENDVPS(l.index, l.y, l.x, l.x)
	case "Pair":
		l.pairs(v, m)
		l.VPERMPS(l.entries[0], l.index, l.x)
	case "Triple":
		l.pairs(v, m)
		if l.wide() {
			l.VPANDD(l.mask, l.index, l.index)
			l.KMOVW(m.Offset(8+2*v), reg.K1)
			l.VPORD(l.entries[1], l.index, reg.K1, l.index)
		} else {
			l.VPAND(l.mask, l.index, l.index)
			l.VPBROADCASTB(m.Offset(8+v), l.y)
			l.VPSRLVD(l.shifts[0], l.y, l.y)
			l.VPSLLD(U8(2), l.y, l.y)
			l.VPAND(l.shifts[1], l.y, l.y)
			l.VPOR(l.y, l.index, l.index)
		}
		l.VPERMPS(l.entries[0], l.index, l.x)
	case "E4M3", "E5M2":
		l.in.halves(m.Offset(v*l.lanes), l.x)
	default:
		l.in.integers(v, m, l.x)
	}
}

// pairs puts the codes of vector v, with other bits above them, into index.
func (l *lookup) pairs(v int, m Mem) {
	if l.wide() {
		if v == 0 {
			l.VPBROADCASTQ(m, l.codes.AsX())
			l.VPMOVZXBD(l.codes.AsX(), l.codes)
		}
		l.VPSRLVD(l.shifts[v], l.codes, l.index)
		return
	}
	l.VPMOVZXBD(m, l.index)
	if v > 0 {
		l.VPSRLD(U8(2*v), l.index, l.index)
	}
}
