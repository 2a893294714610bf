package cache

import "kvgauge/sim/kernel"

// Matrix is dense, row by row.
type Matrix struct {
	Rows, Cols int
	Data       []float32 // [Rows*Cols]
}

// NewMatrix is a matrix of zeros.
func NewMatrix(rows, cols int) Matrix {
	return Matrix{rows, cols, make([]float32, rows*cols)}
}

// Row is row i.
func (m Matrix) Row(i int) []float32 { return m.Data[i*m.Cols : (i+1)*m.Cols] }

// Mul writes m x, x [Cols], into dst [Rows].
func (m Matrix) Mul(x, dst []float32) {
	kernel.Multiply(x, m.Data, m.Cols, dst, m.Rows)
}

// MatrixBuffers appends to dst the memory of matrices.
func MatrixBuffers(dst [][]byte, ms ...Matrix) [][]byte {
	for _, m := range ms {
		dst = append(dst, kernel.Memory(m.Data))
	}
	return dst
}

// Linear is the Fold whose projections are matrices. Encode makes the rows; a query head reads them by the
// matrices of its layer and of the KV head that it read before.
type Linear struct {
	Encode Map
	Group  int              // query heads that read one KV head before the map
	Key    map[int][]Matrix // by layer: [KV head before] from a query before, to one after
	Value  map[int][]Matrix // by layer: [KV head before] from a value after, to one before
}

var _ Fold = Linear{}

// Shape is that of the encoded rows.
func (m Linear) Shape(before Shape) Shape { return m.Encode.Shape(before) }

// Row encodes the rows of a token.
func (m Linear) Row(pos int, k, v, dstK, dstV [][]float32) { m.Encode.Row(pos, k, v, dstK, dstV) }

// Query multiplies by the head's Key.
func (m Linear) Query(layer, head, _ int, q, dst []float32) {
	m.Key[layer][head/m.Group].Mul(q, dst)
}

// Output multiplies by the head's Value.
func (m Linear) Output(layer, head int, u, dst []float32) {
	m.Value[layer][head/m.Group].Mul(u, dst)
}

// Buffers is what encodes, and the matrices of all layers.
func (m Linear) Buffers(dst [][]byte) [][]byte {
	dst = m.Encode.Buffers(dst)
	for _, ms := range m.Key {
		dst = MatrixBuffers(dst, ms...)
	}
	for _, ms := range m.Value {
		dst = MatrixBuffers(dst, ms...)
	}
	return dst
}
