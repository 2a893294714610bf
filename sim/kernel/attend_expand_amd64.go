//go:build amd64 && !purego

package kernel

// Dispatch: whether a block is decoded once for all heads.

// expandHeads is how many query heads must read a block of quantised rows for it to be worth decoding once,
// into scratch memory, and not in each tile: measured on Zen 4, where 32 heads gain a quarter with
// AVX-512 and half with AVX2, and 4 heads lose a fifth.
const expandHeads = 8

// expands says whether so many heads read rows that are decoded before.
func (a *simd) expands(r *Rows, heads int) bool {
	if r.Format == Blocked {
		read := r.reader()
		return read == Blocked || heads >= expandHeads && !r.unscaled()
	}
	return heads >= expandHeads && a.expand[r.Format] != nil && columns(r) > 0
}

// expanded returns n rows from row lo on as floats in scratch memory, but for the scales of Int8.
func (a *simd) expanded(r *Rows, lo, n int, s *Scratch) Rows {
	if r.Format == Blocked {
		return a.expandBlocks(r, lo, n, s)
	}
	dim := columns(r)
	scale, least, groups := a.int4Scales(r, lo, n, s)
	rows := s.rows[:n*r.Dim]
	a.expand[r.Format](&rows[0], 4*r.Dim, r.at(lo), r.stride, n, dim, scale, least, groups, prefetch(r, lo, 0, s))
	s.next = nil
	for i := range n {
		r.decodeCodes(lo+i, dim, rows[i*r.Dim+dim:(i+1)*r.Dim])
	}
	return floatRows(rows, r.Dim)
}
