package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// table decodes codes of 2 to 4 bits, packed as packing.go has it, 32 channels a round: they name entries of a table of 16,
// repeated where there are fewer, so that shuffles may take whatever stands above a code with it.
type table struct {
	*gen
	form    string             // Nibble, Pair or Triple
	entries [2]reg.VecPhysical // under AVX-512 all are in the first
	codes   reg.VecPhysical    // as loaded; those of Nibble, and under AVX-512 of Pair and Triple, serve several vectors
	y, sign reg.VecPhysical    // AVX2: Nibble the entry of the upper half, and whether it counts; Triple the third bits in y, under AVX-512 as well
	fresh   bool               // AVX2: codes are loaded for each vector of Nibble
}

// prepare loads the entries from memory that r points to.
func (t *table) prepare(r reg.Register) {
	t.VMOVUPS(Mem{Base: r}, t.entries[0])
	if !t.wide() && t.form == "Nibble" {
		t.VMOVUPS(Mem{Base: r, Disp: 32}, t.entries[1])
	}
}

// load puts the entries of vector v of a round, codes at m, into x.
func (t *table) load(v int, m Mem, x reg.VecPhysical) { t.pick(t.index(v, m, x), t.entries, x) }

// index finds the entries of vector v of a round, and returns the register that they are in, codes or x.
func (t *table) index(v int, m Mem, x reg.VecPhysical) reg.VecPhysical {
	if t.form == "Nibble" {
		half := 16 / t.lanes // vectors of the low halves
		if v < half || t.fresh && !t.wide() {
			t.VPMOVZXBD(m.Offset(v%half*t.lanes), t.codes)
		}
		if v >= half {
			t.VPSRLD(U8(4), t.codes, t.codes)
		}
		return t.codes
	}
	if t.wide() {
		if v == 0 {
			t.VPBROADCASTQ(m, t.codes.AsX())
			t.VPMOVZXBD(t.codes.AsX(), t.codes)
		}
		t.VPSRLVD(t.shifts(v), t.codes, x)
	} else {
		t.VPMOVZXBD(m, x)
		if v > 0 {
			t.VPSRLD(U8(2*v), x, x)
		}
	}
	if t.form == "Triple" {
		t.third(v, m.Offset(8), x)
	}
	return x
}

// shifts bring the codes of vector v down, which are loaded twice side by side.
func (t *table) shifts(v int) Mem {
	return t.gen.table([]string{"first", "second"}[v], func(i int) uint32 { return uint32(i/8*2 + 4*v) })
}

// third adds the third bits, those of a round at m, to the lower ones of vector v.
func (t *table) third(v int, m Mem, x reg.VecPhysical) {
	bit := t.gen.table("third", func(int) uint32 { return 4 })
	if t.wide() {
		at := t.gen.table(fmt.Sprintf("turn%d", v), func(i int) uint32 { return uint32(i+16*v-2) % 32 })
		t.VPBROADCASTD(m, t.y)
		t.VPRORVD(at, t.y, t.y)
		t.VPTERNLOGD(U8(0xd8), bit, t.y, x) // where bit is set y, elsewhere x
		return
	}
	t.VPAND(t.gen.table("pair", func(int) uint32 { return 3 }), x, x)
	t.VPBROADCASTB(m.Offset(v), t.y)
	t.VPSRLVD(t.gen.table("lane", func(i int) uint32 { return uint32(i) }), t.y, t.y)
	t.VPSLLD(U8(2), t.y, t.y)
	t.VPAND(bit, t.y, t.y)
	t.VPOR(t.y, x, x)
}

// pick puts the entries that index names into x.
func (t *table) pick(index reg.VecPhysical, entries [2]reg.VecPhysical, x reg.VecPhysical) {
	t.VPERMPS(entries[0], index, x)
	if !t.wide() && t.form == "Nibble" {
		t.VPERMPS(entries[1], index, t.y)
		t.VPSLLD(U8(28), index, t.sign)
		t.VBLENDVPS(t.sign, t.y, x, x)
	}
}

// entry puts the values of vector v of a round into dst. Under AVX-512 the entries of a group, scale*entry + least, are made
// before they are picked.
func (w *widener) entry(v int, m, scale, least Mem, dst reg.VecPhysical) {
	t := w.look
	index := t.index(v, m, dst)
	first := v*w.lanes%max(w.f.group, 1) == 0
	at := w.f.scale(v * w.lanes)
	switch {
	case !w.f.grouped():
		t.pick(index, t.entries, dst)
	case w.wide():
		if first {
			w.VBROADCASTSS(least.Offset(4*at), w.temp[0])
			w.VFMADD231PS_BCST(scale.Offset(4*at), t.entries[0], w.temp[0])
		}
		w.VPERMPS(w.temp[0], index, dst)
	default:
		if first {
			w.VBROADCASTSS(scale.Offset(4*at), w.temp[0])
			w.VBROADCASTSS(least.Offset(4*at), w.temp[1])
		}
		t.pick(index, t.entries, dst)
		w.VFMADD213PS(w.temp[1], w.temp[0], dst)
	}
}
