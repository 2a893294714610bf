package kernel

import "math"

// Rope is a rotary embedding: pair p of a head is rotated by position*InvFreq[p]. The zero value is none.
type Rope struct {
	InvFreq []float64 // radians per position, one a pair
	GPTJ    bool      // pairs are (2p, 2p+1); else (p, p+len(InvFreq))
}

// Pair returns the two dimensions that pair p rotates.
func (r Rope) Pair(p int) (int, int) {
	if r.GPTJ {
		return 2 * p, 2*p + 1
	}
	return p, p + len(r.InvFreq)
}

// Rotate turns a row by delta positions in place; dimensions beyond the rotated ones stay.
func (r Rope) Rotate(row []float32, delta float64) {
	for p, w := range r.InvFreq {
		i, j := r.Pair(p)
		sin, cos := math.Sincos(delta * w)
		x, y := float64(row[i]), float64(row[j])
		row[i], row[j] = float32(x*cos-y*sin), float32(x*sin+y*cos)
	}
}

// KeyShift rotates the first rows of a store at every step, each by the same number of positions. Nil and the
// zero value leave all rows alone.
type KeyShift struct {
	Rope  Rope
	Rows  int
	Delta float64
}

// covers says whether a row at or after row lo of the store is to be rotated.
func (t *KeyShift) covers(lo int) bool { return t != nil && t.Delta != 0 && lo < t.Rows }

// apply rotates those of a block's rows, the first of which is row lo of the store, that the turn covers.
func (t *KeyShift) apply(rows []float32, dim, lo int) {
	for i := lo; i < t.Rows && (i-lo)*dim < len(rows); i++ {
		t.Rope.Rotate(rows[(i-lo)*dim:(i-lo+1)*dim], t.Delta)
	}
}
