package cache

import "kvgauge/sim/kernel"

// restored is one worker's memory for packed rows that are made again in float32 before they are read.
type restored struct {
	k, v kernel.Rows // at most kernel.Chunk of them
}

func newRestored(k, v int) *restored {
	return &restored{kernel.NewRows(kernel.F32, k, kernel.Chunk), kernel.NewRows(kernel.F32, v, kernel.Chunk)}
}

// clear forgets the rows.
func (r *restored) clear() {
	r.k.Truncate(0)
	r.v.Truncate(0)
}

// attend computes the states over the rows that were restored.
func (r *restored) attend(q []float32, s *kernel.Scratch, out []kernel.Partial) {
	kernel.Attend(q, &r.k, &r.v, 0, r.k.Len(), nil, s, out)
}
