//go:build amd64 && !purego

package kernel

// Dispatch: whether a block is decoded once for all heads.

// expandHeads is how many query heads must read a block of quantised rows for it to be worth decoding once, into scratch
// memory, and not in each tile. Measured on Zen 4 over 64 and 128 channels, times beside f16's, in scratch memory and
// directly: with AVX-512 q4_0 takes 1.15 to 1.21 and 1.09 to 1.23 of 16 heads, and 1.39 to 1.47 and 1.11 to 1.26 of 8; with
// AVX2 1.52 to 1.62 and 1.53 to 1.63 of 8. What is found by more shuffles is worth it earlier: tables of 16 entries
// under AVX2, 2.2 and 2.6 of 3 heads but 2.9 and 2.3 of 2, and codes of 3 bits, likewise, with AVX-512 1.6 and 1.7 of 8.
func (a *simd) expandHeads(f Format) int {
	most := a.lanes
	switch f {
	case readTriple, readTriple32:
		most = a.tiles[0].heads + 1
	case readNibble, readNibble16, readNibble32:
		if a.lanes == 8 {
			most = a.tiles[0].heads + 1
		}
	}
	return most
}

// expands says whether so many heads read rows that are decoded before.
func (a *simd) expands(r *Rows, read reading, heads int) bool {
	switch {
	case read.format == Blocked:
		return true
	case heads < a.expandHeads(read.format):
		return false
	case r.Format == Blocked:
		return read.group > 0 || r.Blocks.form.tabled()
	}
	return a.expand[r.Format] != nil && columns(r) > 0
}

// expanded returns n rows from row lo on as floats in scratch memory, but for the scales of Int8.
func (a *simd) expanded(r *Rows, lo, n int, s *Scratch) Rows {
	if r.Format == Blocked {
		return a.expandBlocks(r, lo, n, s)
	}
	dim, read := columns(r), reading{format: r.Format}
	if r.Format == Int4 {
		read.group = GroupDim
	}
	scale, least, groups := a.scales(r, read, lo, n, s)
	rows := s.rows[:n*r.Dim]
	a.expand[r.Format](&rows[0], 4*r.Dim, r.at(lo), r.stride, n, dim, scale, least, groups, prefetch(r, lo, 0, s))
	s.next = nil
	for i := range n {
		r.decodeCodes(lo+i, dim, rows[i*r.Dim+dim:(i+1)*r.Dim])
	}
	return floatRows(rows, r.Dim)
}
