package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dots emits the dot products of a tile of query heads with a block of rows.
//
// Rows are taken four at a time, and the last n%4 one at a time, with an accumulator for each row and head,
// so that a row's result does not depend on its place. A round of the inner loop covers one cache line of
// each row, or of codes that name entries of a table 32 channels. A heads x 4 tile per register width of columns: 4 loads and conversions of rows, heads loads of
// q and 4*heads multiply-adds. Each round prefetches as many lines as it reads, one after the other from next
// on.
func dots(g *gen) {
	for _, f := range formats {
		for _, heads := range g.tiles {
			d := &dotter{gen: g, heads: heads}
			d.emit(f)
		}
	}
	if g.wide() {
		lines(g)
	}
}

// General registers. Strides are in bytes.
var (
	dotQ, dotQStride, dotQTriple = reg.RSI, reg.R8, reg.R9 // q of the first head at the column

	dotRow, dotStride, dotTriple = reg.RAX, reg.RBX, reg.RCX // the first of the four rows at the column

	dotCols = reg.RDX // columns left
	dotNext = reg.RDI // where the next prefetch goes
	dotOut  = reg.R10 // out of the first head at the row

	dotScale, dotLeast         = reg.R11, reg.R12 // of groups: of the first row at the group
	dotGroups, dotGroupsTriple = reg.R13, reg.R15 // of groups: from a row's scales to the next; R14 belongs to Go
)

type dotter struct {
	*gen
	heads int
	f     format

	acc  []reg.VecPhysical // [head][row]
	x    []reg.VecPhysical // [row]
	q    reg.VecPhysical
	rows []*widener // [row]

	left, row, scale, least Mem // locals: rows to go, and the pointers of the first row
}

func (d *dotter) emit(f format) {
	d.f = f
	name := fmt.Sprintf("dots%sx%d", f.name, d.heads)
	d.function(name, "func(q *float32, qStride int, rows *byte, stride, n, dim int, out *float32, outStride int, table, scale, least *float32, groups int, next *byte)",
		fmt.Sprintf("computes the dot products of %d queries with n rows; strides are in bytes.", d.heads), d.loop()...)
	d.enter()
	d.assign()
	if f.tabled() {
		d.arg("table", dotCols)
		d.rows[0].look.prepare(dotCols)
	} else {
		d.rows[0].prepare()
	}
	d.rowLoop("four", 4)
	d.rowLoop("one", 1)
	d.Label("done")
	d.end()
}

// loop is the scalar loop.
func (d *dotter) loop() []string {
	return []string{
		"for i := range n {",
		fmt.Sprintf("\tfor h := range %d {", d.heads),
		"\t\tout[h][i] = sum over d < dim of q[h][d] * " + d.f.value,
		"\t}",
		"}",
	}
}

// enter loads the arguments.
func (d *dotter) enter() {
	d.left, d.row, d.scale, d.least = d.AllocLocal(8), d.AllocLocal(8), d.AllocLocal(8), d.AllocLocal(8)
	d.arg("n", dotCols)
	d.MOVQ(dotCols, d.left)
	d.arg("rows", dotRow)
	d.MOVQ(dotRow, d.row)
	d.arg("stride", dotStride)
	d.LEAQ(Mem{Base: dotStride, Index: dotStride, Scale: 2}, dotTriple)
	d.arg("qStride", dotQStride)
	d.LEAQ(Mem{Base: dotQStride, Index: dotQStride, Scale: 2}, dotQTriple)
	d.arg("out", dotOut)
	d.arg("next", dotNext)
	if d.f.grouped() {
		d.arg("scale", dotScale)
		d.MOVQ(dotScale, d.scale)
		d.arg("least", dotLeast)
		d.MOVQ(dotLeast, d.least)
		d.arg("groups", dotGroups)
		d.SHLQ(U8(2), dotGroups)
		d.LEAQ(Mem{Base: dotGroups, Index: dotGroups, Scale: 2}, dotGroupsTriple)
	}
}

// assign gives out the vector registers.
func (d *dotter) assign() {
	d.acc = d.vecs(0, 4*d.heads)
	next := len(d.acc)
	take := func() reg.VecPhysical { next++; return d.vec(next - 1) }
	d.x, d.rows = nil, nil
	for range 4 {
		d.x = append(d.x, take())
	}
	d.q = take()
	if d.f.tabled() {
		d.tabled(take)
		return
	}
	if !d.f.grouped() {
		var fixed reg.VecPhysical
		if d.f.narrow() {
			fixed = take()
		}
		for range 4 {
			d.rows = append(d.rows, &widener{gen: d.gen, f: d.f, fixed: fixed})
		}
		return
	}
	fixed := take()
	var shared [2]reg.VecPhysical
	if !d.wide() {
		shared = [2]reg.VecPhysical{take(), take()}
	}
	for range 4 {
		w := &widener{gen: d.gen, f: d.f, fixed: fixed, temp: shared, codes: d.q, bits: d.x[1]}
		if d.wide() {
			w.codes, w.temp[0] = take(), take()
		}
		d.rows = append(d.rows, w)
	}
}

// tabled gives out the vector registers of codes that name entries of a table. Under AVX2 rows are decoded one at a time.
func (d *dotter) tabled(take func() reg.VecPhysical) {
	t := table{gen: d.gen, form: d.f.form(), entries: [2]reg.VecPhysical{take(), d.x[3]}, codes: d.q, y: d.x[1], sign: d.x[2], fresh: d.f.group == 16}
	var shared [2]reg.VecPhysical
	switch {
	case d.wide():
		t.y = take()
	case d.f.grouped():
		shared = [2]reg.VecPhysical{take(), take()}
	}
	for range 4 {
		own := t
		w := &widener{gen: d.gen, f: d.f, temp: shared, look: &own}
		if d.wide() {
			own.codes, w.temp[0] = take(), take()
		}
		d.rows = append(d.rows, w)
	}
}

// rowLoop emits the loop over rows, rows at a time.
func (d *dotter) rowLoop(name string, rows int) {
	loop, cols, line, short, sums := name, name+"_cols", name+"_line", name+"_short", name+"_sums"
	d.Label(loop)
	d.CMPQ(d.left, U8(rows))
	if rows == 1 {
		d.JLT(LabelRef("done"))
	} else {
		d.JLT(LabelRef("one"))
	}
	for h := range d.heads {
		for r := range rows {
			d.zero(d.acc[4*h+r])
		}
	}
	d.arg("q", dotQ)
	d.MOVQ(d.row, dotRow)
	if d.f.grouped() {
		d.MOVQ(d.scale, dotScale)
		d.MOVQ(d.least, dotLeast)
	}
	d.arg("dim", dotCols)
	perLine := 64 / d.f.bytes
	if d.f.tabled() {
		perLine = 1 // lines of theirs are no faster than rounds
	}
	if perLine > 1 {
		d.JMP(LabelRef(cols))
		d.Label(line)
		d.round(rows, perLine)
		d.Label(cols)
		d.CMPQ(dotCols, U8(perLine*d.f.cols))
		d.JGE(LabelRef(line))
	}
	d.TESTQ(dotCols, dotCols)
	d.JLE(LabelRef(sums))
	d.Label(short)
	d.round(rows, 1)
	d.JG(LabelRef(short))
	d.Label(sums)
	d.store(rows)
	d.advance(rows)
	d.JMP(LabelRef(loop))
}

// round emits steps rounds of columns for the rows, and leaves the flags of the columns left.
func (d *dotter) round(rows, steps int) {
	at := strided(rows, dotRow, dotStride, dotTriple)
	scale := strided(rows, dotScale, dotGroups, dotGroupsTriple)
	least := strided(rows, dotLeast, dotGroups, dotGroupsTriple)
	q := strided(d.heads, dotQ, dotQStride, dotQTriple)
	d.prefetch(Mem{Base: dotNext}, rows*steps*d.f.bytes)
	for s := range steps {
		if (d.f.grouped() || d.f.tabled()) && !d.wide() {
			d.groups(at, scale, least, q, s)
			continue
		}
		for _, v := range d.rows[0].order() {
			for r := range rows {
				d.rows[r].load(v, at[r].Offset(s*d.f.bytes), scale[r].Offset(4*s*d.f.scales()), least[r].Offset(4*s*d.f.scales()), d.x[r])
			}
			for h := range d.heads {
				qh := q[h].Offset(4 * (s*d.f.cols + v*d.lanes))
				if rows == 1 {
					d.VFMADD231PS(qh, d.x[0], d.acc[4*h])
					continue
				}
				d.VMOVUPS(qh, d.q)
				for r := range rows {
					d.VFMADD231PS(d.x[r], d.q, d.acc[4*h+r])
				}
			}
		}
	}
	d.ADDQ(I32(steps*d.f.bytes), dotRow)
	d.ADDQ(I32(rows*steps*d.f.bytes), dotNext)
	d.ADDQ(I32(4*steps*d.f.cols), dotQ)
	if d.f.grouped() {
		d.ADDQ(I8(4*steps*d.f.scales()), dotScale)
		d.ADDQ(I8(4*steps*d.f.scales()), dotLeast)
	}
	d.SUBQ(I32(steps*d.f.cols), dotCols)
}

// groups emits round s of grouped and of tabled formats under AVX2, where registers for one row at a time are left.
func (d *dotter) groups(at, scale, least, q []Mem, s int) {
	for r := range at {
		w := d.rows[r]
		for _, v := range w.order() {
			w.load(v, at[r].Offset(s*d.f.bytes), scale[r].Offset(4*s*d.f.scales()), least[r].Offset(4*s*d.f.scales()), d.x[0])
			for h := range d.heads {
				d.VFMADD231PS(q[h].Offset(4*(s*d.f.cols+v*d.lanes)), d.x[0], d.acc[4*h+r])
			}
		}
	}
}

// store sums each accumulator over its lanes and writes a head's rows together.
func (d *dotter) store(rows int) {
	d.write(rows, func(h int) reg.VecPhysical { return d.sum4(d.of(h, rows), d.x[0], d.x[1], d.x[2]) })
}

// of returns the accumulators of a head for four rows, or four times for one.
func (d *dotter) of(h, rows int) []reg.VecPhysical {
	a := d.acc[4*h : 4*h+4]
	if rows == 1 {
		return []reg.VecPhysical{a[0], a[0], a[0], a[0]}
	}
	return a
}

// write stores what each head has for the rows.
func (d *dotter) write(rows int, of func(h int) reg.VecPhysical) {
	d.arg("outStride", dotQ)
	d.MOVQ(dotOut, dotCols)
	for h := range d.heads {
		v := of(h)
		if rows == 1 {
			d.VMOVSS(v, Mem{Base: dotCols})
		} else {
			d.VMOVUPS(v, Mem{Base: dotCols})
		}
		d.ADDQ(dotQ, dotCols)
	}
}

// sum4 adds up the lanes of four registers and returns their sums in the lanes of one 128-bit register.
//
//	s = {a0+a2, b0+b2, a1+a3, b1+b3} in each 128 bits, t the same of c and d
//	u = {a, b, c, d} in each 128 bits
func (d *dotter) sum4(a []reg.VecPhysical, s, t, u reg.VecPhysical) reg.VecPhysical {
	u = d.quads(a, s, t, u)
	return d.fold(u, s)
}

// quads adds up the lanes of four registers within each 128 bits, and returns the sums in u.
func (d *dotter) quads(a []reg.VecPhysical, s, t, u reg.VecPhysical) reg.VecPhysical {
	d.VUNPCKLPS(a[1], a[0], s)
	d.VUNPCKHPS(a[1], a[0], u)
	d.VADDPS(u, s, s)
	d.VUNPCKLPS(a[3], a[2], t)
	d.VUNPCKHPS(a[3], a[2], u)
	d.VADDPS(u, t, t)
	d.VUNPCKLPD(t, s, u)
	d.VUNPCKHPD(t, s, s)
	d.VADDPS(s, u, u)
	return u
}

// fold adds the upper 128-bit parts of a register to the lowest and returns that; t is free.
func (g *gen) fold(v, t reg.VecPhysical) reg.VecPhysical {
	vx, vy, tx, ty := v.AsX().(reg.VecPhysical), v.AsY().(reg.VecPhysical), t.AsX().(reg.VecPhysical), t.AsY().(reg.VecPhysical)
	if g.wide() {
		g.VEXTRACTF64X4(U8(1), v, ty)
		g.VADDPS(ty, vy, vy)
		g.VEXTRACTF32X4(U8(1), vy, tx)
	} else {
		g.VEXTRACTF128(U8(1), vy, tx)
	}
	g.VADDPS(tx, vx, vx)
	return vx
}

// advance moves on to the next rows.
func (d *dotter) advance(rows int) {
	d.ADDQ(U8(4*rows), dotOut)
	d.MOVQ(dotStride, dotCols)
	if d.f.grouped() {
		d.MOVQ(dotGroups, dotQ)
	}
	if rows == 4 {
		d.SHLQ(U8(2), dotCols)
		if d.f.grouped() {
			d.SHLQ(U8(2), dotQ)
		}
	}
	d.ADDQ(dotCols, d.row)
	if d.f.grouped() {
		d.ADDQ(dotQ, d.scale)
		d.ADDQ(dotQ, d.least)
	}
	d.SUBQ(U8(rows), d.left)
}
