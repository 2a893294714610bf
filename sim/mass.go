package sim

import (
	"math/bits"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// mass is the exact softmax probability of the entries that steps attended. Steps note their entries, a bit each;
// the probabilities are computed for all steps of a layer together, as the reference's are: a product of matrices
// takes a fraction of the time of single logits.
type mass struct {
	cell      Cell
	attended  map[int][]uint64 // [layer] of the group that is replayed: [step][q_head][words] bits of token positions
	words     int
	pos       [][]int32 // scratch, [q_head]
	held      float64   // on attended entries, summed over rows
	late      float64   // on minor keys that were not attended
	lateKnown bool
}

func newMass(c Cell) mass {
	return mass{
		cell: c, attended: map[int][]uint64{}, words: (c.SeqLen + 63) / 64, pos: make([][]int32, c.Trace.QHeads), lateKnown: true,
	}
}

// note keeps what step i of a layer attended.
func (m *mass) note(pool *kernel.Pool, layer, i int, store *cache.Store) {
	heads := m.cell.Trace.QHeads
	if m.attended[layer] == nil {
		m.attended[layer] = make([]uint64, m.cell.steps()*heads*m.words)
	}
	pool.Run(heads, func(_, h int) {
		m.pos[h] = store.Attended(h, m.pos[h][:0])
		set := m.attended[layer][(i*heads+h)*m.words:][:m.words]
		for _, at := range m.pos[h] {
			set[at/64] |= 1 << (at % 64)
		}
	})
}

// add sums the probabilities of a layer whose steps have all been noted.
func (m *mass) add(pool *kernel.Pool, ref *exactLayer, layer int, l *trace.Layer) {
	c := m.cell
	heads, d, steps, sees := c.Trace.QHeads, c.Trace.HeadDim, c.steps(), c.sees()
	held, minor := make([]float64, steps*heads), make([]float64, steps*heads)
	pool.Run(heads, func(_, h int) {
		k := l.K[h/(heads/c.Trace.KVHeads)]
		p, lse := kernel.LogitsExact(l.Q[h][(c.firstStep()-l.FirstQuery)*d:], d, c.Trace.Scale, k, sees)
		kernel.ProbabilitiesExact(p, lse)
		for s := range steps {
			row := s*heads + h
			for w, set := range m.attended[layer][row*m.words:][:m.words] {
				for ; set != 0; set &= set - 1 {
					at := 64*w + bits.TrailingZeros64(set)
					held[row] += p[s*c.SeqLen+at]
					if ref.late != nil && at < len(ref.minor[h]) && ref.minor[h][at] {
						minor[row] += p[s*c.SeqLen+at]
					}
				}
			}
		}
	})
	delete(m.attended, layer)
	m.lateKnown = m.lateKnown && ref.late != nil
	for row, sum := range held {
		m.held += sum
		if ref.late != nil {
			m.late += max(0, ref.late[row]-minor[row])
		}
	}
}
