package sim

import (
	"math/bits"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// mass is the exact softmax probability of the entries that steps attended. Steps note their entries, a bit each;
// the probabilities of the keys that any of them attended are computed for all steps of a layer together: a product
// of matrices takes a fraction of the time of single logits.
type mass struct {
	cell      Cell
	attended  map[int][]uint64 // [layer] of the group that is replayed: [step][q_head][words] bits of token positions
	words     int
	pos       [][]int32 // scratch, [q_head]
	rows      int       // that were summed
	held      float64   // on attended entries, summed over rows
	late      float64   // on minor keys that were not attended
	lateKnown bool
}

func newMass(c Cell) mass {
	return mass{
		cell: c, attended: map[int][]uint64{}, words: (c.SeqLen + 63) / 64, lateKnown: true,
	}
}

// note keeps what step i of a layer attended.
func (m *mass) note(pool *kernel.Pool, layer, i int, store *cache.Store) {
	heads := m.cell.Trace.At(layer).QHeads
	for len(m.pos) < heads {
		m.pos = append(m.pos, nil)
	}
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
	heads := m.cell.Trace.At(layer).QHeads
	rows := m.cell.steps() * heads
	m.rows += rows
	major, minor := make([]float64, rows), make([]float64, rows)
	pool.Run(heads, func(_, h int) {
		majors, minors := m.union(layer, h, ref.minor[h])
		m.sum(major, layer, h, majors, ref, l)
		m.sum(minor, layer, h, minors, ref, l)
	})
	delete(m.attended, layer)
	m.lateKnown = m.lateKnown && ref.late != nil
	width := len(ref.out) / rows
	for row := range rows {
		if !slices.ContainsFunc(ref.out[row*width:(row+1)*width], func(x float64) bool { return x != 0 }) {
			m.rows-- // a head of zeros
			continue
		}
		m.held += major[row] + minor[row]
		if ref.late != nil {
			m.late += max(0, ref.late[row]-minor[row])
		}
	}
}

// union lists the positions that any step attended with query head h, those of minor keys apart.
func (m *mass) union(layer, h int, minor []bool) (majors, minors []int) {
	heads := m.cell.Trace.At(layer).QHeads
	for w := range m.words {
		var set uint64
		for i := h*m.words + w; i < len(m.attended[layer]); i += heads * m.words {
			set |= m.attended[layer][i]
		}
		for ; set != 0; set &= set - 1 {
			if at := 64*w + bits.TrailingZeros64(set); at < len(minor) && minor[at] {
				minors = append(minors, at)
			} else {
				majors = append(majors, at)
			}
		}
	}
	return majors, minors
}

// sum adds to out [row] the mass of those of the positions at that each step attended with query head h.
func (m *mass) sum(out []float64, layer, h int, at []int, ref *exactLayer, l *trace.Layer) {
	c := m.cell
	a := c.Trace.At(layer)
	heads, d, steps, rule := a.QHeads, a.KeyDim(), c.steps(), a.Rule(h)
	q, k := l.Reading(a, h, c.firstStep(), steps), l.K[h/(heads/a.KVHeads)]
	pos := make([]int32, 0, massRows)
	keys, taken := make([]float32, min(len(at), massRows)*d), make([]float64, massRows)
	for part := range slices.Chunk(at, massRows) {
		pos = pos[:0]
		for i, at := range part {
			copy(keys[i*d:(i+1)*d], k[at*d:])
			pos = append(pos, int32(at))
		}
		logits := kernel.DotsExact(q, d, rule.Scale, keys[:len(part)*d])
		for s := range steps {
			rule.Logits(logits[s*len(part):(s+1)*len(part)], pos, c.firstStep()+s)
			row, n := s*heads+h, 0
			set := m.attended[layer][row*m.words:][:m.words]
			for i, x := range logits[s*len(part) : (s+1)*len(part)] {
				taken[n] = x // the next overwrites it unless the bit is set
				n += int(set[part[i]/64] >> (part[i] % 64) & 1)
			}
			out[row] += kernel.SumExp(taken[:n], ref.lse[row])
		}
	}
}
