package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// format is a storage format: how many columns one round of a column loop takes and the bytes they have. Int4
// goes by groups, which share a scale. value is what stubs call element d of row i.
type format struct {
	name        string
	cols, bytes int
	value       string
}

var formats = []format{
	{"F32", step, 4 * step, "rows[i][d]"},
	{"F16", step, 2 * step, "float32(rows[i][d])"},
	{"BF16", step, 2 * step, "float32(rows[i][d])"},
	{"Int8", step, step, "float32(rows[i][d])"},
	{"Int4", 2 * step, step, "(scale[i][d/32]*code[i][d] + least[i][d/32])"},
}

func (f format) grouped() bool { return f.name == "Int4" }

// widener decodes the codes of one row to floats, a register at a time.
type widener struct {
	*gen
	f     format
	codes reg.VecPhysical    // Int4: 32 bits a code, the high half of the byte above the low one
	temp  [2]reg.VecPhysical // Int4: AVX-512 the 16 values of the codes; AVX2 scale and minimum
	fixed reg.VecPhysical    // Int4: AVX-512 the numbers 0 to 15; AVX2 the mask of a code
}

// vectors is how many registers the columns of one round fill.
func (w *widener) vectors() int { return w.f.cols / w.lanes }

// order lists a round's vectors as they are to be loaded: those that share bytes after each other.
func (w *widener) order() []int {
	switch w.vectors() {
	case 1:
		return []int{0}
	case 2:
		return []int{0, 1}
	default:
		return []int{0, 2, 1, 3}
	}
}

// prepare loads what all rows share. It is called once a function.
func (w *widener) prepare() {
	if !w.f.grouped() {
		return
	}
	if w.wide() {
		w.VMOVUPS(w.table("iota", func(i int) uint32 { return math.Float32bits(float32(i)) }), w.fixed)
	} else {
		w.VMOVUPS(w.table("nibble", func(int) uint32 { return 15 }), w.fixed)
	}
}

// table is a read-only vector of 16 words.
func (g *gen) table(name string, word func(i int) uint32) Mem {
	if m, ok := g.tables[name]; ok {
		return m
	}
	m := g.StaticGlobal(name + g.label)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 16 {
		g.AddDatum(4*i, U32(word(i)))
	}
	g.tables[name] = m
	return m
}

// load puts vector v of a round into dst; m addresses the round's codes, scale and least those of the group.
// The vectors of a round are loaded as order has them.
//
// Int4 under AVX-512 forms the 16 values that a code of the group may have, scale*{0..15} + min, and looks
// each code up among them; the shuffle uses the low four bits of a lane alone. Bytes 0 to 15 of a group hold
// channels 0 to 15 in their low and 16 to 31 in their high halves, which is one register each.
func (w *widener) load(v int, m, scale, least Mem, dst reg.VecPhysical) {
	switch w.f.name {
	case "F32":
		w.VMOVUPS(m.Offset(4*v*w.lanes), dst)
	case "F16":
		w.VCVTPH2PS(m.Offset(2*v*w.lanes), dst)
	case "BF16":
		w.VPMOVZXWD(m.Offset(2*v*w.lanes), dst)
		w.VPSLLD(U8(16), dst, dst)
	case "Int8":
		w.VPMOVSXBD(m.Offset(v*w.lanes), dst)
		w.VCVTDQ2PS(dst, dst)
	case "Int4":
		if w.wide() {
			w.lookUp(v, m, scale, least, dst)
		} else {
			w.multiply(v, m, scale, least, dst)
		}
	}
}

func (w *widener) lookUp(v int, m, scale, least Mem, dst reg.VecPhysical) {
	if v == 0 {
		w.VBROADCASTSS(least, w.temp[0])
		w.VFMADD231PS_BCST(scale, w.fixed, w.temp[0])
		w.VPMOVZXBD(m, w.codes)
	} else {
		w.VPSRLD(U8(4), w.codes, w.codes)
	}
	w.VPERMPS(w.temp[0], w.codes, dst)
}

// multiply decodes by conversion and a multiply-add. Bytes 8*v and later of a group are loaded once, for their
// low halves and then for their high halves.
func (w *widener) multiply(v int, m, scale, least Mem, dst reg.VecPhysical) {
	if v == 0 {
		w.VBROADCASTSS(scale, w.temp[0])
		w.VBROADCASTSS(least, w.temp[1])
	}
	if v < 2 {
		w.VPMOVZXBD(m.Offset(v*w.lanes), w.codes)
		w.VPAND(w.fixed, w.codes, dst)
	} else {
		w.VPSRLD(U8(4), w.codes, dst)
	}
	w.VCVTDQ2PS(dst, dst)
	w.VFMADD213PS(w.temp[1], w.temp[0], dst)
}
