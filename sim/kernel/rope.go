package kernel

import "math"

// Rope is a rotary embedding: pair p of a head is rotated by position*InvFreq[p]. The zero value is none.
type Rope struct {
	InvFreq []float64 // radians per position, one a pair
	GPTJ    bool      // pairs are (2p, 2p+1); else (p, p+len(InvFreq))
	First   int       // the first dimension that is rotated
}

// Pair returns the two dimensions that pair p rotates.
func (r Rope) Pair(p int) (int, int) {
	if r.GPTJ {
		return r.First + 2*p, r.First + 2*p + 1
	}
	return r.First + p, r.First + p + len(r.InvFreq)
}

// Rotate rotates a row by delta positions in place; the other dimensions stay.
func (r Rope) Rotate(row []float32, delta float64) {
	for p, w := range r.InvFreq {
		i, j := r.Pair(p)
		sin, cos := math.Sincos(delta * w)
		x, y := float64(row[i]), float64(row[j])
		row[i], row[j] = float32(x*cos-y*sin), float32(x*sin+y*cos)
	}
}

// ropeSpan is how many successive positions RopeTable holds the angles of.
const ropeSpan = 64

// RopeTable rotates many rows by their own positions, at a few multiplications a pair where Rope.Rotate takes a
// sine and a cosine: those of a position are made of those of its remainder by ropeSpan, which are held,
// and of the multiple of ropeSpan below it, which successive positions share. To rounding it is Rope.Rotate.
type RopeTable struct {
	rope     Rope
	sin, cos []float32 // [pair][turnSpan]
}

// NewRopeTable prepares a rotary embedding.
func NewRopeTable(r Rope) *RopeTable {
	t := &RopeTable{rope: r, sin: make([]float32, len(r.InvFreq)*ropeSpan), cos: make([]float32, len(r.InvFreq)*ropeSpan)}
	for p, w := range r.InvFreq {
		for i := range ropeSpan {
			sin, cos := math.Sincos(float64(i) * w)
			t.sin[p*ropeSpan+i], t.cos[p*ropeSpan+i] = float32(sin), float32(cos)
		}
	}
	return t
}

// Rotate rotates the rows of several heads, each [len(pos)*dim], by the positions of the rows, in place.
// Several goroutines may call it at a time.
func (t *RopeTable) Rotate(pos []int32, heads [][]float32, dim int) {
	for p, w := range t.rope.InvFreq {
		i, j := t.rope.Pair(p)
		base, baseSin, baseCos := int32(-1), float32(0), float32(0)
		for n, at := range pos {
			if at/ropeSpan != base {
				base = at / ropeSpan
				sin, cos := math.Sincos(float64(base) * ropeSpan * w)
				baseSin, baseCos = float32(sin), float32(cos)
			}
			sin, cos := t.sin[p*ropeSpan+int(at%ropeSpan)], t.cos[p*ropeSpan+int(at%ropeSpan)]
			sin, cos = float32(baseSin*cos)+float32(baseCos*sin), float32(baseCos*cos)-float32(baseSin*sin)
			for _, head := range heads {
				row := head[n*dim : (n+1)*dim]
				x, y := row[i], row[j]
				row[i], row[j] = float32(x*cos)-float32(y*sin), float32(x*sin)+float32(y*cos)
			}
		}
	}
}

// KeyShift rotates the first keys of a store at every step, each by the same number of positions. Nil and the
// zero value leave all rows alone.
type KeyShift struct {
	Rope  Rope
	Rows  int
	Delta float64
}

// covers says whether a row at or after row lo of the store is to be rotated.
func (t *KeyShift) covers(lo int) bool { return t != nil && t.Delta != 0 && lo < t.Rows }

// apply rotates those of a block's rows, the first of which is row lo of the store, that the shift covers.
func (t *KeyShift) apply(rows []float32, dim, lo int) {
	for i := lo; i < t.Rows && (i-lo)*dim < len(rows); i++ {
		t.Rope.Rotate(rows[(i-lo)*dim:(i-lo+1)*dim], t.Delta)
	}
}
