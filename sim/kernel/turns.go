package kernel

import "math"

// turnSpan is how many successive positions RopeTable holds the angles of.
const turnSpan = 64

// RopeTable rotates many rows by their own positions, at a few multiplications a pair where Rope.Rotate takes a
// sine and a cosine: those of a position are made of those of its remainder by turnSpan, which are held,
// and of the multiple of turnSpan below it, which successive positions share. To rounding it is Rope.Rotate.
type RopeTable struct {
	rope     Rope
	sin, cos []float32 // [pair][turnSpan]
}

// NewRopeTable prepares a rotary embedding.
func NewRopeTable(r Rope) *RopeTable {
	t := &RopeTable{rope: r, sin: make([]float32, len(r.InvFreq)*turnSpan), cos: make([]float32, len(r.InvFreq)*turnSpan)}
	for p, w := range r.InvFreq {
		for i := range turnSpan {
			sin, cos := math.Sincos(float64(i) * w)
			t.sin[p*turnSpan+i], t.cos[p*turnSpan+i] = float32(sin), float32(cos)
		}
	}
	return t
}

// Rotate turns the rows of several heads, each [len(pos)*dim], by the positions of the rows, in place.
// Several goroutines may call it at a time.
func (t *RopeTable) Rotate(pos []int32, heads [][]float32, dim int) {
	for p, w := range t.rope.InvFreq {
		i, j := t.rope.Pair(p)
		base, baseSin, baseCos := int32(-1), float32(0), float32(0)
		for n, at := range pos {
			if at/turnSpan != base {
				base = at / turnSpan
				sin, cos := math.Sincos(float64(base) * turnSpan * w)
				baseSin, baseCos = float32(sin), float32(cos)
			}
			sin, cos := t.sin[p*turnSpan+int(at%turnSpan)], t.cos[p*turnSpan+int(at%turnSpan)]
			sin, cos = float32(baseSin*cos)+float32(baseCos*sin), float32(baseCos*cos)-float32(baseSin*sin)
			for _, head := range heads {
				row := head[n*dim : (n+1)*dim]
				x, y := row[i], row[j]
				row[i], row[j] = float32(x*cos)-float32(y*sin), float32(x*sin)+float32(y*cos)
			}
		}
	}
}
