package method

import (
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// unrotated returns every head's keys as they were before the rotary embedding.
func unrotated(on *cache.View) [][]float32 {
	var plain [][]float32
	for j, head := range on.K {
		plain = append(plain, unrotatedHead(on.Rope, head, on.Pos[j]))
	}
	return plain
}

// unrotatedHead returns the keys of tokens at positions pos, [tokens*dim], as they were before the rotary embedding.
func unrotatedHead(rope kernel.Rope, keys []float32, pos []int32) []float32 {
	plain, dim := slices.Clone(keys), len(keys)/max(1, len(pos))
	for i, p := range pos {
		rope.Rotate(plain[i*dim:(i+1)*dim], -float64(p))
	}
	return plain
}

// pairOf reads a frequency pair as a complex number.
func pairOf(r kernel.Rope, row []float32, p int) complex128 {
	re, im := r.Pair(p)
	return complex(float64(row[re]), float64(row[im]))
}

// rotate multiplies pair p of a row, read as a complex number, by z.
func rotate(r kernel.Rope, x []float64, p int, z complex128) {
	a, b := r.Pair(p)
	y := complex(x[a], x[b]) * z
	x[a], x[b] = real(y), imag(y)
}

// upProjection makes keys again from rows that hold them without the rotary embedding, and rotates them, at each step.
// Values are absorbed into the output.
type upProjection struct {
	turns     *kernel.RopeTable
	group     int            // query heads of a KV head
	heads     int            // KV heads whose keys a stored row holds
	dim       int            // channels of a key
	up, value []cache.Matrix // [KV head] [dim][rank] of a stored row
}

// newUpProjection is for keys of heads KV heads a stored row.
func newUpProjection(on *cache.View, heads int, up, value []cache.Matrix) upProjection {
	return upProjection{kernel.NewRopeTable(on.Rope), on.Group(), heads, on.Dim, up, value}
}

// Query leaves the query as it is: it reads keys as the model makes them.
func (u upProjection) Query(_, _, _ int, q, dst []float32) { copy(dst, q) }

// Output multiplies by the head's part of the values' basis.
func (u upProjection) Output(_, head int, sum, dst []float32) { u.value[head/u.group].Mul(sum, dst) }

// Keys makes those of a block of entries of a stored head.
func (u upProjection) Keys(head int, pos []int32, rows []float32, dst [][]float32) {
	for j, up := range u.up[head*u.heads : (head+1)*u.heads] {
		kernel.Multiply(rows, up.Data, up.Cols, dst[j], u.dim)
	}
	u.turns.Rotate(pos, dst, u.dim)
}

// buffers is the matrices.
func (u upProjection) buffers(dst [][]byte) [][]byte {
	return cache.MatrixBuffers(cache.MatrixBuffers(dst, u.up...), u.value...)
}
