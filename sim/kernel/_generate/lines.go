package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// lines emits dots for Int4 rows of whole lines, under AVX-512. A line is a register of codes, 128 channels: a quad
// of lanes is a group of 32 channels, and a lane holds eight of them, in the order of packing.go. So q must lie
// in that order too, which arrange sees to, and a scale is needed only where a line's products have been
// summed:
//
//	for each line of the rows:
//		for k := 0; k < 8; k++ { acc[h][row] += q[h][k] * code k of each lane }
//		sum[h][group][row] = the sum of a quad of acc[h][row]
//		total[h][group][row] += scale[row][group]*sum[h][group][row] + least[row][group]*q[h][8][group]
//	out[h][row] = the sum of total over groups
//
// A code is not shifted down but masked where it stands and converted as 16^k times as much; q[h][k] carries 16^-k.
// That leaves the ports that multiply to the multiply-adds. q[h][8] holds the sums of q over each group.
func lines(g *gen) {
	g.arrange()
	for _, heads := range g.tiles {
		l := &liner{dotter: dotter{gen: g, heads: heads, f: int4}}
		l.emit()
	}
}

const (
	lineCodes = 8                        // codes of a lane
	lineDim   = 16 * lineCodes           // channels of a line
	lineBytes = 4 * 16 * (lineCodes + 1) // bytes of a line of q
)

// nibble is a mask of code k of each lane.
func (g *gen) nibble(k int) Mem { return g.word(fmt.Sprintf("nibble%d", k), 15<<(4*k)) }

type liner struct {
	dotter
	total        []reg.VecPhysical // [head]
	codes        []reg.VecPhysical // [row]
	mask         reg.VecPhysical   // of the code at hand
	scales, mins reg.VecPhysical   // scales and minima of the line's groups
	perm         reg.VecPhysical   // the lanes that bring those of four rows into quads of a group
}

func (l *liner) emit() {
	l.function(fmt.Sprintf("linesx%d", l.heads), "func(q *float32, qStride int, rows *byte, stride, n, dim int, out *float32, outStride int, table, scale, least *float32, groups int, next *byte)",
		fmt.Sprintf("computes the dot products of %d queries, out of arrange, with n rows of whole lines; strides are in bytes.", l.heads), l.loop()...)
	l.enter()
	l.assign()
	l.VMOVUPS(l.transposed(), l.perm)
	l.quadMasks(dotCols.As32())
	l.CMPQ(dotGroups, U8(quadBytes))
	l.JNE(LabelRef("four"))
	l.rowLoop("near", 4)
	l.rowLoop("four", 4)
	l.rowLoop("one", 1)
	l.Label("done")
	l.end()
}

// quad returns the mask of the lanes of a quad but the first, which needs none where it comes first.
func quad(i int) reg.OpmaskPhysical { return []reg.OpmaskPhysical{1: reg.K1, reg.K2, reg.K3}[i] }

// transposed lists the lanes of a matrix of four rows, a quad each, by columns.
func (g *gen) transposed() Mem {
	return g.table("transposed", func(i int) uint32 { return uint32(i%4*4 + i/4) })
}

// quadMasks sets the masks.
func (g *gen) quadMasks(temp reg.Register) {
	for i := 1; i < 4; i++ {
		g.MOVL(U32(15<<(4*i)), temp)
		g.KMOVW(temp, quad(i))
	}
}

// assign gives out the vector registers.
func (l *liner) assign() {
	next := 0
	take := func(n int) []reg.VecPhysical { next += n; return l.vecs(next-n, n) }
	l.acc, l.total, l.codes, l.x = take(4*l.heads), take(l.heads), take(4), take(4)
	last := take(3)
	l.q, l.mask, l.perm = last[0], last[1], last[2]
	l.scales, l.mins = l.codes[0], l.codes[1]
}

// rowLoop emits the loop over rows, rows at a time. In loop near there is one line a row, so that the scales of four
// rows lie side by side.
func (l *liner) rowLoop(name string, rows int) {
	loop, line := name, name+"_line"
	l.Label(loop)
	l.CMPQ(l.left, U8(rows))
	if rows == 1 {
		l.JLT(LabelRef("done"))
	} else {
		l.JLT(LabelRef("one"))
	}
	for _, t := range l.total {
		l.zero(t)
	}
	l.arg("q", dotQ)
	l.MOVQ(l.row, dotRow)
	l.MOVQ(l.scale, dotScale)
	l.MOVQ(l.least, dotLeast)
	l.arg("dim", dotCols)
	l.Label(line)
	l.products(rows)
	l.loadScales(rows, name == "near")
	for h, q := range strided(l.heads, dotQ, dotQStride, dotQTriple) {
		sum := l.quads(l.of(h, rows), l.x[0], l.x[1], l.x[2])
		l.VFMADD231PS(l.scales, sum, l.total[h])
		l.VFMADD231PS(q.Offset(4*16*lineCodes), l.mins, l.total[h])
	}
	l.ADDQ(U8(64), dotRow)
	l.ADDQ(I32(64*rows), dotNext)
	l.ADDQ(I32(lineBytes), dotQ)
	l.ADDQ(U8(16), dotScale)
	l.ADDQ(U8(16), dotLeast)
	l.SUBQ(I32(lineDim), dotCols)
	l.JG(LabelRef(line))
	l.write(rows, func(h int) reg.VecPhysical { return l.fold(l.total[h], l.x[0]) })
	l.advance(rows)
	l.JMP(LabelRef(loop))
}

// products sets the accumulators to those of a line.
func (l *liner) products(rows int) {
	l.prefetch(Mem{Base: dotNext}, 64*rows)
	for r, m := range strided(rows, dotRow, dotStride, dotTriple) {
		l.VMOVUPS(m, l.codes[r])
	}
	for k := range lineCodes {
		l.VPBROADCASTD(l.nibble(k), l.mask)
		for r := range rows {
			l.VPANDD(l.mask, l.codes[r], l.x[r])
			l.VCVTUDQ2PS(l.x[r], l.x[r])
		}
		for h, q := range strided(l.heads, dotQ, dotQStride, dotQTriple) {
			l.VMOVUPS(q.Offset(4*16*k), l.q)
			for r := range rows {
				if k == 0 {
					l.VMULPS(l.q, l.x[r], l.acc[4*h+r])
				} else {
					l.VFMADD231PS(l.q, l.x[r], l.acc[4*h+r])
				}
			}
		}
	}
}

// loadScales loads the scales and minima of a line: group g of row r is lane r of quad g. A single row has all lanes.
func (l *liner) loadScales(rows int, near bool) {
	load := func(at []Mem, to reg.VecPhysical) {
		if near {
			l.VPERMPS(at[0], l.perm, to)
			return
		}
		l.broadcastQuads(at, to)
		l.VPERMPS(to, l.perm, to)
	}
	load(strided(rows, dotScale, dotGroups, dotGroupsTriple), l.scales)
	load(strided(rows, dotLeast, dotGroups, dotGroupsTriple), l.mins)
}

// broadcastQuads puts four numbers of each row into its quad, and those of the first into all that are left.
func (g *gen) broadcastQuads(at []Mem, to reg.VecPhysical) {
	g.VBROADCASTF32X4(at[0], to)
	for i := 1; i < len(at); i++ {
		g.VBROADCASTF32X4(at[i], quad(i), to)
	}
}

// arrange emits the arrangement of one query for lines.
func (g *gen) arrange() {
	g.function("arrange", "func(q *float32, dim int, out *float32)", "brings a query of whole lines into the order of their codes.",
		"for each line of q and out, g < 4, j < 4 {",
		"\tfor k := range 8 {",
		"\t\tout[k][4*g+j] = 16^-k * q[32*g + 16*(k%2) + 4*j + k/2]",
		"\t}",
		"\tout[8][4*g+j] = sum over d < 32 of q[32*g+d]",
		"}")
	q, cols, out := reg.RSI, reg.RCX, reg.RDI
	g.quadMasks(reg.EAX)
	pick := g.vecs(0, 4)
	for j, v := range pick {
		g.VMOVUPS(g.table(fmt.Sprintf("pick%d", j), func(i int) uint32 { return uint32(i%4*4 + j) }), v)
	}
	x, sum, t := g.vec(4), g.vec(5), g.vec(6)
	g.arg("q", q)
	g.arg("dim", cols)
	g.arg("out", out)
	g.Label("line")
	g.zero(sum)
	for k := range lineCodes {
		for quarter := range 4 {
			m := Mem{Base: q, Disp: 4 * (32*quarter + 16*(k%2))}
			if quarter == 0 {
				g.VPERMPS(m, pick[k/2], x)
			} else {
				g.VPERMPS(m, pick[k/2], quad(quarter), x)
			}
		}
		g.VADDPS(x, sum, sum)
		g.VMULPS(g.word(fmt.Sprintf("part%d", k), math.Float32bits(float32(math.Ldexp(1, -4*k)))), x, x)
		g.VMOVUPS(x, Mem{Base: out, Disp: 4 * 16 * k})
	}
	for _, lanes := range []uint8{0x4e, 0xb1} { // lanes 2 and 3, and 1 and 3, of each quad first
		g.VPERMILPS(U8(lanes), sum, t)
		g.VADDPS(t, sum, sum)
	}
	g.VMOVUPS(sum, Mem{Base: out, Disp: 4 * 16 * lineCodes})
	g.ADDQ(I32(4*lineDim), q)
	g.ADDQ(I32(lineBytes), out)
	g.SUBQ(I32(lineDim), cols)
	g.JG(LabelRef("line"))
	g.end()
}
