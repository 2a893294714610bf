package main

import (
	"math"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// format is a storage format: how many columns one round of a column loop takes, the bytes they have, and how many share a
// scale, 0 where none is read. E4M3 becomes binary16, by which it is 256 times too small. Codes of Nibble, Pair and Triple
// name entries of a table. value is what stubs call element d of row i.
type format struct {
	name               string
	cols, bytes, group int
	value              string
}

var formats = []format{
	{"F32", step, 4 * step, 0, "rows[i][d]"},
	{"F16", step, 2 * step, 0, "float32(rows[i][d])"},
	{"BF16", step, 2 * step, 0, "float32(rows[i][d])"},
	{"Int8", step, step, 0, "float32(rows[i][d])"},
	{"Int4", 2 * step, step, 32, "(scale[i][d/32]*code[i][d] + least[i][d/32])"},
	{"E4M3", step, step, 0, "e4m3Table[rows[i][d]]/256"},
	{"E5M2", step, step, 0, "e5m2Table[rows[i][d]]"},
	{"Signed", 2 * step, 2 * step, 32, "(scale[i][d/32]*int8(code[i][d]) + least[i][d/32])"},
	{"Byte", 2 * step, 2 * step, 32, "(scale[i][d/32]*code[i][d] + least[i][d/32])"},
	{"Five", 2 * step, 20, 32, "(scale[i][d/32]*code[i][d] + least[i][d/32])"},
	{"Nibble", 2 * step, 16, 0, "table[code[i][d]]"},
	{"Nibble16", 2 * step, 16, 16, "(scale[i][d/16]*table[code[i][d]] + least[i][d/16])"},
	{"Nibble32", 2 * step, 16, 32, "(scale[i][d/32]*table[code[i][d]] + least[i][d/32])"},
	{"Pair", 2 * step, 8, 0, "table[code[i][d]]"},
	{"Pair32", 2 * step, 8, 32, "(scale[i][d/32]*table[code[i][d]] + least[i][d/32])"},
	{"Triple", 2 * step, 12, 0, "table[code[i][d]]"},
	{"Triple32", 2 * step, 12, 32, "(scale[i][d/32]*table[code[i][d]] + least[i][d/32])"},
}

// int4 is the format that lines are of.
var int4 = formats[4]

func (f format) grouped() bool { return f.group > 0 }

// scales is how many scales a row's columns of one round have.
func (f format) scales() int {
	if !f.grouped() {
		return 0
	}
	return f.cols / f.group
}

// scale is which of the scales of a round belongs to the column that is as far into it.
func (f format) scale(col int) int { return col * f.scales() / f.cols }

// form is the format without its groups.
func (f format) form() string { return strings.TrimSuffix(strings.TrimSuffix(f.name, "16"), "32") }

// tabled says whether codes name entries of a table.
func (f format) tabled() bool {
	switch f.form() {
	case "Nibble", "Pair", "Triple":
		return true
	}
	return false
}

// nibbles says whether a format is Int4, whose codes are not shifted down before they are weighted.
func (f format) nibbles() bool { return f.name == "Int4" }

// narrow says whether a format is a floating point of 8 bits.
func (f format) narrow() bool { return f.name == "E4M3" || f.name == "E5M2" }

// widener decodes the codes of one row to floats, a register at a time.
type widener struct {
	*gen
	f     format
	codes reg.VecPhysical    // Int4, Five: 32 bits a code, the high half of the byte above the low one
	temp  [2]reg.VecPhysical // of a group: AVX-512 the 16 values of the codes of Int4, else the minimum; AVX2 scale and minimum
	fixed reg.VecPhysical    // Int4: AVX-512 the numbers 0 to 15; the mask of a code there, of Five or of E4M3
	bits  reg.VecPhysical    // Five: AVX2 the fifth bits
	look  *table             // of codes that name entries of a table
}

// vectors is how many registers the columns of one round fill.
func (w *widener) vectors() int { return w.f.cols / w.lanes }

// order lists a round's vectors as they are to be loaded: those that share bytes after each other.
func (w *widener) order() []int {
	switch {
	case w.vectors() == 1:
		return []int{0}
	case w.vectors() == 2:
		return []int{0, 1}
	case w.f.group == 16:
		return []int{0, 1, 2, 3} // those that share a scale
	default:
		return []int{0, 2, 1, 3}
	}
}

// prepare loads what all rows share. It is called once a function.
func (w *widener) prepare() {
	switch {
	case w.f.name == "E4M3":
		w.VMOVUPS(w.table("e4m3", func(int) uint32 { return 0xbf80bf80 }), w.fixed)
		return
	case !w.f.nibbles() && w.f.name != "Five":
		return
	}
	if w.f.nibbles() && w.wide() {
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
	case "E4M3", "E5M2":
		w.halves(m.Offset(v*w.lanes), dst)
	case "Int4":
		if w.wide() {
			w.lookUp(v, m, scale, least, dst)
		} else {
			w.multiply(v, m, scale, least, dst)
		}
	default:
		if w.f.tabled() {
			w.entry(v, m, scale, least, dst)
		} else {
			w.multiply(v, m, scale, least, dst)
		}
	}
}

// halves puts codes of 8 bits with a sign and an exponent into the upper bits of binary16 and widens that.
func (w *widener) halves(m Mem, dst reg.VecPhysical) {
	words, mask := dst.AsX(), w.fixed
	if w.wide() {
		words = dst.AsY()
	}
	if w.f.name == "E5M2" {
		w.VPMOVZXBW(m, words)
		w.VPSLLW(U8(8), words, words)
	} else {
		w.VPMOVSXBW(m, words)
		w.VPSLLW(U8(7), words, words)
		if w.wide() {
			w.VPANDD(mask.AsY(), words, words)
		} else {
			w.VPAND(mask.AsX(), words, words)
		}
	}
	w.VCVTPH2PS(words, dst)
}

// integers puts the codes of vector v into dst, as numbers. Bytes 0 to 15 of a group of Five are those of Int4, and a bit of
// the others for each channel follows.
func (w *widener) integers(v int, m Mem, dst reg.VecPhysical) {
	switch w.f.name {
	case "Signed":
		w.VPMOVSXBD(m.Offset(v*w.lanes), dst)
	case "Byte":
		w.VPMOVZXBD(m.Offset(v*w.lanes), dst)
	default:
		if 2*v*w.lanes < 32 {
			w.VPMOVZXBD(m.Offset(v*w.lanes), w.codes)
			if w.wide() {
				w.VPANDD(w.fixed, w.codes, dst)
			} else {
				w.VPAND(w.fixed, w.codes, dst)
			}
		} else {
			w.VPSRLD(U8(4), w.codes, dst)
		}
		if w.f.name == "Five" {
			w.fifth(v, m.Offset(16), dst)
		}
	}
	w.VCVTDQ2PS(dst, dst)
}

// fifth adds the fifth bits, those of a group at m, to vector v.
func (w *widener) fifth(v int, m Mem, dst reg.VecPhysical) {
	bit := w.table("fifth", func(int) uint32 { return 16 })
	if w.wide() {
		w.KMOVW(m.Offset(2*v), reg.K1)
		w.VPORD(bit, dst, reg.K1, dst)
		return
	}
	w.VPBROADCASTB(m.Offset(v), w.bits)
	w.VPSRLVD(w.table("lane", func(i int) uint32 { return uint32(i) }), w.bits, w.bits)
	w.VPSLLD(U8(4), w.bits, w.bits)
	w.VPAND(bit, w.bits, w.bits)
	w.VPOR(w.bits, dst, dst)
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
	if w.wide() {
		if v == 0 {
			w.VBROADCASTSS(least, w.temp[0])
		}
		w.integers(v, m, dst)
		w.VFMADD132PS_BCST(scale, w.temp[0], dst)
		return
	}
	if v == 0 {
		w.VBROADCASTSS(scale, w.temp[0])
		w.VBROADCASTSS(least, w.temp[1])
	}
	w.integers(v, m, dst)
	w.VFMADD213PS(w.temp[1], w.temp[0], dst)
}
