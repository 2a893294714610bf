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
	f     form
	table *table
	codes reg.VecPhysical // as loaded
	mask  reg.VecPhysical
	in    *widener // of the forms without a table
	x, y  reg.VecPhysical
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
	l.codes, l.mask, l.x, l.y = l.vec(2), l.vec(4), l.vec(5), l.vec(6)
	l.table = &table{gen: l.gen, form: l.f.name, entries: [2]reg.VecPhysical{l.vec(0), l.vec(1)}, codes: l.codes, y: l.y, sign: l.vec(3)}
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
func (l *lookup) prepare(temp reg.Register) {
	if l.tabled() {
		l.arg("table", temp)
		l.table.prepare(temp)
		return
	}
	l.in = &widener{gen: l.gen, f: format{name: l.f.name}, codes: l.codes, fixed: l.mask, bits: l.y}
	l.in.prepare()
}

func (l *lookup) tabled() bool { return format{name: l.f.name}.tabled() }

// load puts the values of vector v of a round, codes at m, into x. Vectors come in the order of emit, so that
// those which share bytes follow each other.
func (l *lookup) load(v int, m Mem) {
	switch {
	case l.tabled():
		l.table.load(v, m, l.x)
	case l.f.name == "E4M3" || l.f.name == "E5M2":
		l.in.halves(m.Offset(v*l.lanes), l.x)
	default:
		l.in.integers(v, m, l.x)
	}
}
