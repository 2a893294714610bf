package main

import (
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// set is an instruction set.
type set struct {
	name  string // as in file names and in KVGAUGE_KERNEL
	label string // as in function names
	lanes int    // floats in a register
	tiles []int  // query heads that one call of dots or weightedSum takes
}

var sets = []set{
	{name: "avx2", label: "AVX2", lanes: 8, tiles: []int{2, 1}},
	{name: "avx512", label: "AVX512", lanes: 16, tiles: []int{4, 2, 1}},
}

// gen emits one file for one instruction set.
type gen struct {
	*build.Context
	tables map[string]Mem
	set
}

// step is the number of columns that one round of a column loop covers: a multiple of the register width
// of both sets, so that both leave the same columns to portable code.
const step = 16

// blockRows is the constant block of the package.
const blockRows = 64

func (s set) wide() bool { return s.lanes == 16 }

// vec is vector register i.
func (s set) vec(i int) reg.VecPhysical {
	if s.wide() {
		return vectors[i]
	}
	return vectors[i].AsY().(reg.VecPhysical)
}

// vecs are n vector registers from register i on.
func (s set) vecs(i, n int) []reg.VecPhysical {
	v := make([]reg.VecPhysical, n)
	for j := range v {
		v[j] = s.vec(i + j)
	}
	return v
}

var vectors = []reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
	reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
	reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}

// function starts NAME with the set's label. The stub's comment says what it does, and the scalar loop that it must
// equal.
func (g *gen) function(name, signature, doc string, loop ...string) {
	name += g.label
	g.Function(name)
	lines := []string{name + " " + doc, ""}
	for _, l := range loop {
		lines = append(lines, "\t"+l)
	}
	g.Doc(lines...)
	g.Pragma("noescape")
	g.SignatureExpr(signature)
}

// arg puts the named parameter into a general register.
func (g *gen) arg(name string, r reg.Register) { g.Load(g.Param(name), r) }

// end closes a function. Mixing 256-bit registers with the SSE code of the compiler is slow without it.
func (g *gen) end() {
	g.VZEROUPPER()
	g.RET()
}

// zero clears a register.
func (g *gen) zero(v reg.VecPhysical) {
	if g.wide() {
		g.VPXORD(v, v, v)
	} else {
		g.VXORPS(v, v, v)
	}
}

// prefetch emits one prefetch for each cache line that n bytes at m begin, into the second-level cache: the
// first level's few miss buffers would bound the stream (on Zen 4, 13 of 20 GB/s).
func (g *gen) prefetch(m Mem, n int) {
	for off := 0; off < n; off += 64 {
		g.PREFETCHT1(m.Offset(off))
	}
}

// strided returns the operands base, base+stride, base+2*stride and base+3*stride; triple holds 3*stride.
func strided(n int, base, stride, triple reg.Register) []Mem {
	m := []Mem{{Base: base}, {Base: base, Index: stride, Scale: 1}, {Base: base, Index: stride, Scale: 2}, {Base: base, Index: triple, Scale: 1}}
	return m[:n]
}
