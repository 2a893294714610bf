package cache

import (
	"math"
	"slices"

	"kvgauge/sim/kernel"
)

// Slerp is the PromptStorage of two layers that share the direction of a token's key, and that of its value, and
// keep the two magnitudes. The rows that Keep names are stored besides, in both layers, as they were.
type Slerp struct {
	T            float64   // where the shared direction lies between the lower layer's, 0, and the upper's, 1
	KeepK, KeepV [][]int32 // [stored head] rows, ascending
}

var _ PromptStorage = Slerp{}

// Encode encodes the rows of the view, the lower layer's, and of its one peer. Rows stand in the order of who keeps
// them: neither key nor value, the value, the key, both.
func (m Slerp) Encode(v *View, c Codec) (StoredPrompt, bool) {
	s := &slerpPrompt{layers: v.Layers}
	finite := true
	for h := range v.K {
		order, ends := byKept(v.Rows(h), m.KeepK[h], m.KeepV[h])
		k, okK := m.encode(v.K[h], v.Peers[0].K[h], v.Dim, order, order[ends[1]:], c.K)
		val, okV := m.encode(v.V[h], v.Peers[0].V[h], v.VDim, order, slices.Concat(order[ends[0]:ends[1]], order[ends[2]:]), c.V)
		s.k, s.v, s.ends = append(s.k, k), append(s.v, val), append(s.ends, ends)
		pos := make([]int32, len(order))
		for i, r := range order {
			pos[i] = v.Pos[h][r]
		}
		s.pos = append(s.pos, pos)
		finite = finite && okK && okV
	}
	s.cut()
	return s, finite
}

// byKept orders n rows: those whose key and value are shared, those whose value, whose key and whose both are
// kept. ends are where the four end.
func byKept(n int, keepK, keepV []int32) (order []int32, ends []int) {
	for class := range 4 {
		for i := range int32(n) {
			_, k := slices.BinarySearch(keepK, i)
			_, v := slices.BinarySearch(keepV, i)
			if k == (class&2 != 0) && v == (class&1 != 0) {
				order = append(order, i)
			}
		}
		ends = append(ends, len(order))
	}
	return order, ends
}

// encode makes the rows of one head in both layers, in an order, and those that are kept.
func (m Slerp) encode(lower, upper []float32, dim int, order, keep []int32, f kernel.Layout) (s shared, finite bool) {
	s = shared{rows: f.Rows(dim, len(order))}
	row := make([]float32, dim)
	finite = true
	for _, r := range order {
		i := int(r)
		na, nb := m.direction(lower[i*dim:(i+1)*dim], upper[i*dim:(i+1)*dim], row)
		finite = s.rows.Append(row) && na <= maxHalf && nb <= maxHalf && finite
		s.magnitude[0] = append(s.magnitude[0], kernel.Half(float32(na)))
		s.magnitude[1] = append(s.magnitude[1], kernel.Half(float32(nb)))
	}
	for l, rows := range [][]float32{lower, upper} {
		s.kept[l] = f.Rows(dim, len(keep))
		for _, r := range keep {
			finite = s.kept[l].Append(rows[int(r)*dim:(int(r)+1)*dim]) && finite
		}
	}
	return s, finite
}

// maxHalf is the largest finite f16 value.
const maxHalf = 65504

// direction writes the unit vector at T on the arc between two rows, and returns their norms.
func (m Slerp) direction(a, b, dst []float32) (na, nb float64) {
	na, nb, angle := Angle(a, b)
	wa, wb := 1-m.T, m.T
	if sin := math.Sin(angle); sin > least {
		wa, wb = math.Sin((1-m.T)*angle)/sin, math.Sin(m.T*angle)/sin
	}
	var sum float64
	for i := range dst {
		x := wa*float64(a[i])/na + wb*float64(b[i])/nb
		dst[i] = float32(x)
		sum += x * x
	}
	for i := range dst {
		dst[i] /= float32(max(math.Sqrt(sum), least))
	}
	return na, nb
}

// least is the smallest norm, sine and distance of a cosine from 1 that are told from none.
const least = 1e-6

// Angle returns the norms of two rows, at least 1e-6, and the angle between them.
func Angle(a, b []float32) (na, nb, angle float64) {
	var dot float64
	for i, x := range a {
		y := float64(b[i])
		na += float64(x) * float64(x)
		nb += y * y
		dot += float64(x) * y
	}
	na, nb = max(math.Sqrt(na), least), max(math.Sqrt(nb), least)
	return na, nb, math.Acos(min(max(dot/(na*nb), least-1), 1-least))
}

// shared is the keys, or the values, of one head in two layers.
type shared struct {
	rows      kernel.Rows    // directions of all rows
	magnitude [2][]uint16    // [layer][row] binary16
	kept      [2]kernel.Rows // [layer] the rows that are kept besides
}

// bytes is everything: an index of 4 bytes says where a kept row belongs.
func (s *shared) bytes() int64 {
	n := s.rows.Bytes() + 4*int64(s.kept[0].Len())
	for l := range s.kept {
		n += s.kept[l].Bytes() + 2*int64(len(s.magnitude[l]))
	}
	return n
}

// meta is the part of bytes that is not channels.
func (s *shared) meta() int64 {
	n := s.rows.ScaleBytes() + 4*int64(s.kept[0].Len())
	for l := range s.kept {
		n += s.kept[l].ScaleBytes() + 2*int64(len(s.magnitude[l]))
	}
	return n
}

// run returns rows lo to hi as a layer reads them.
func (s *shared) run(layer, lo, hi int) kernel.Rows {
	r := s.rows
	r.Factor = s.magnitude[layer]
	return r.Slice(lo, hi)
}

// buffers is everything but the indices, which no step reads.
func (s *shared) buffers(dst [][]byte) [][]byte {
	dst = s.rows.Buffers(dst)
	for l := range s.kept {
		dst = append(s.kept[l].Buffers(dst), kernel.Memory(s.magnitude[l]))
	}
	return dst
}

// clone has rows and magnitudes of its own.
func (s *shared) clone() shared {
	c := shared{rows: cloneRows([]kernel.Rows{s.rows})[0]}
	for l := range s.kept {
		c.magnitude[l], c.kept[l] = slices.Clone(s.magnitude[l]), cloneRows(s.kept[l : l+1])[0]
	}
	return c
}

// slerpPrompt is what Slerp makes.
type slerpPrompt struct {
	layers []int
	k, v   []shared   // [stored head]
	pos    [][]int32  // [stored head][row]
	ends   [][]int    // [stored head] of the four runs of rows
	runs   [2][][]run // [layer][stored head] as they are read
}

// run is rows that are read alike: of keys and of values, all or none are kept.
type run struct {
	first int
	k, v  kernel.Rows
}

var _ StoredPrompt = (*slerpPrompt)(nil)

// Pos is the whole prompt.
func (m *slerpPrompt) Pos(head int) []int32 { return m.pos[head] }

// Ends are those of the runs.
func (m *slerpPrompt) Ends(head int) []int { return m.ends[head] }

// Bytes is directions, magnitudes, kept rows and their indices.
func (m *slerpPrompt) Bytes() int64 {
	var n int64
	for h := range m.k {
		n += m.k[h].bytes() + m.v[h].bytes()
	}
	return n
}

// Metadata is magnitudes, indices and scales.
func (m *slerpPrompt) Metadata() int64 {
	var n int64
	for h := range m.k {
		n += m.k[h].meta() + m.v[h].meta()
	}
	return n
}

// Read is everything but the other layer's magnitudes and kept rows, and the directions of kept rows.
func (m *slerpPrompt) Read(layer int) int64 {
	n, other := m.Bytes(), 1-slices.Index(m.layers, layer)
	for _, heads := range [][]shared{m.k, m.v} {
		for h := range heads {
			s := &heads[h]
			n -= s.kept[other].Bytes() + 2*int64(len(s.magnitude[other]))
			n -= int64(s.kept[other].Len()) * (s.rows.RowBytes() + 2)
		}
	}
	return n
}

// FLOPs is none.
func (m *slerpPrompt) FLOPs() int64 { return 0 }

// Prepare has nothing to make.
func (m *slerpPrompt) Prepare(int, int) {}

// cut makes the runs.
func (m *slerpPrompt) cut() {
	for l := range m.runs {
		for h, ends := range m.ends {
			k, v := &m.k[h], &m.v[h]
			both, apart := ends[1]-ends[0], ends[2]-ends[1]
			m.runs[l] = append(m.runs[l], []run{
				{0, k.run(l, 0, ends[0]), v.run(l, 0, ends[0])},
				{ends[0], k.run(l, ends[0], ends[1]), v.kept[l].Slice(0, both)},
				{ends[1], k.kept[l].Slice(0, apart), v.run(l, ends[1], ends[2])},
				{ends[2], k.kept[l].Slice(apart, k.kept[l].Len()), v.kept[l].Slice(both, v.kept[l].Len())},
			})
		}
	}
}

// Attend reads the rows of one run.
func (m *slerpPrompt) Attend(_, layer, head, lo, hi int, q []float32, s *kernel.Scratch, out []kernel.Partial) {
	runs := m.runs[slices.Index(m.layers, layer)][head]
	i := len(runs) - 1
	for runs[i].first > lo {
		i--
	}
	r := &runs[i]
	kernel.Attend(q, &r.k, &r.v, lo-r.first, hi-r.first, nil, s, out)
}

// Buffers is directions, magnitudes and kept rows.
func (m *slerpPrompt) Buffers(dst [][]byte) [][]byte {
	for h := range m.k {
		dst = m.v[h].buffers(m.k[h].buffers(dst))
	}
	return dst
}

// Clone copies the rows.
func (m *slerpPrompt) Clone() StoredPrompt {
	c := &slerpPrompt{layers: m.layers, pos: m.pos, ends: m.ends}
	for h := range m.k {
		c.k, c.v = append(c.k, m.k[h].clone()), append(c.v, m.v[h].clone())
	}
	c.cut()
	return c
}
