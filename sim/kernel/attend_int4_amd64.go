//go:build amd64 && !purego

package kernel

// Dispatch: what the assembly takes besides the codes of Int4 rows, and of Blocked ones whose channels share scales by groups.

// scales widens the scales and minima of n rows, groups of them a row; none where kernels take none.
func (a *simd) scales(r *Rows, read reading, lo, n int, s *Scratch) (scale, least *float32, groups int) {
	switch {
	case read.group == 0:
		return nil, nil, 0
	case r.Format == Blocked:
		return a.groupScales(r, read, lo, n, s)
	case r.Scale == nil:
		return &s.ones[:n*r.groups][0], &s.zeros[0], r.groups
	}
	a.floats(s.scales[:n*r.groups], r.Scale[lo*r.groups:])
	a.floats(s.mins[:n*r.groups], r.Min[lo*r.groups:])
	return &s.scales[0], &s.mins[0], r.groups
}

// lineDim is how many channels of Int4 fill a register.
const lineDim = 128

// inLines says whether rows are scored by whole lines. Codes whose scales belong to channels are not: their queries
// change from group to group.
func (a *simd) inLines(k *Rows, read reading) bool {
	scaled := k.Format == Int4 && k.Scale != nil || k.Format == Blocked && k.Blocks.Scale != NoScale
	return a.arrange != nil && scaled && read.format == Int4 && k.Dim%lineDim == 0
}

// arranged returns the queries of a call as lines take them, [heads][width], which it makes once a call.
func (a *simd) arranged(q []float32, heads int, s *Scratch) (lines []float32, width int) {
	dim := len(q) / heads
	width = dim / lineDim * (lineDim + 16)
	if len(s.lines) == 0 {
		s.lines = s.lines[:heads*width]
		for h := range heads {
			a.arrange(&q[h*dim], dim, &s.lines[h*width])
		}
	}
	return s.lines, width
}
