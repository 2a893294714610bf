//go:build amd64 && !purego

package kernel

import "unsafe"

// floatRows are n rows of dim floats in scratch memory.
func floatRows(rows []float32, dim int) Rows {
	data := unsafe.Slice((*byte)(unsafe.Pointer(&rows[0])), 4*len(rows))
	return Rows{Format: F32, Dim: dim, width: dim, Data: data, stride: 4 * dim}
}

// expandBlocks decodes n Blocked rows from row lo on into scratch memory.
func (a *simd) expandBlocks(r *Rows, lo, n int, s *Scratch) Rows {
	rows := s.rows[:n*r.Dim]
	for i := range n {
		r.decodeCodes(lo+i, 0, rows[i*r.Dim:(i+1)*r.Dim])
	}
	s.next = nil
	return floatRows(rows, r.Dim)
}
