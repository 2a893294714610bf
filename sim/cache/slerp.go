package cache

import (
	"math"
	"slices"

	"kvgauge/sim/kernel"
)

// Slerp is the Packing of two layers that share the direction of a token's key, and that of its value, and
// keep the two magnitudes. The rows that Keep names are stored besides, in both layers, as they were.
type Slerp struct {
	T            float64   // where the shared direction lies between the lower layer's, 0, and the upper's, 1
	KeepK, KeepV [][]int32 // [stored head] rows, ascending
}

var _ Packing = Slerp{}

// Pack encodes the rows of the view, the lower layer's, and of its one peer.
func (m Slerp) Pack(v *View, c Codec) (Packed, bool) {
	s := &merged{layers: v.Layers}
	finite := true
	for h := range v.K {
		k, okK := m.pack(v.K[h], v.Peers[0].K[h], v.Dim, m.KeepK[h], c.K)
		val, okV := m.pack(v.V[h], v.Peers[0].V[h], v.VDim, m.KeepV[h], c.V)
		s.k, s.v = append(s.k, k), append(s.v, val)
		finite = finite && okK && okV
	}
	return s, finite
}

// pack encodes the rows of one head in both layers.
func (m Slerp) pack(lower, upper []float32, dim int, keep []int32, f kernel.Format) (s shared, finite bool) {
	n := len(lower) / dim
	s = shared{rows: kernel.NewRows(f, dim, n), index: keep}
	row := make([]float32, dim)
	finite = true
	for i := range n {
		a, b := lower[i*dim:(i+1)*dim], upper[i*dim:(i+1)*dim]
		na, nb := m.direction(a, b, row)
		finite = s.rows.Append(row) && na <= maxHalf && nb <= maxHalf && finite
		s.magnitude[0] = append(s.magnitude[0], kernel.Half(float32(na)))
		s.magnitude[1] = append(s.magnitude[1], kernel.Half(float32(nb)))
	}
	for l, rows := range [][]float32{lower, upper} {
		s.kept[l] = kernel.NewRows(f, dim, len(keep))
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
	rows      kernel.Rows    // directions
	magnitude [2][]uint16    // [layer][row] binary16
	index     []int32        // rows that were kept, ascending
	kept      [2]kernel.Rows // [layer][len(index)]
}

// bytes is everything, and meta what is not rows.
func (s *shared) bytes() (all, meta int64) {
	all, meta = s.rows.Bytes(), s.rows.ScaleBytes()
	for l := range s.kept {
		all += s.kept[l].Bytes()
		meta += s.kept[l].ScaleBytes() + 2*int64(len(s.magnitude[l]))
	}
	meta += 4 * int64(len(s.index))
	all += meta - s.rows.ScaleBytes() - s.kept[0].ScaleBytes() - s.kept[1].ScaleBytes()
	return all, meta
}

// restore appends rows lo to hi as a layer of the two reads them; row is scratch memory.
func (s *shared) restore(to *kernel.Rows, layer, lo, hi int, row []float32) {
	at, _ := slices.BinarySearch(s.index, int32(lo))
	for i := lo; i < hi; i++ {
		if at < len(s.index) && int(s.index[at]) == i {
			s.kept[layer].Row(at, row)
			at++
		} else {
			s.rows.Row(i, row)
			m := kernel.Float(s.magnitude[layer][i])
			for c := range row {
				row[c] *= m
			}
		}
		to.Append(row)
	}
}

// clone copies.
func (s *shared) clone() shared {
	c := shared{rows: cloned([]kernel.Rows{s.rows})[0], index: slices.Clone(s.index)}
	for l := range s.kept {
		c.magnitude[l], c.kept[l] = slices.Clone(s.magnitude[l]), cloned(s.kept[l : l+1])[0]
	}
	return c
}

// merged is what Slerp makes.
type merged struct {
	layers []int
	k, v   []shared // [stored head]

	rooms []mergedRoom // [worker]
}

// mergedRoom is the memory of one worker.
type mergedRoom struct {
	*restored
	row []float32
}

var _ Packed = (*merged)(nil)

// Len is the whole prompt.
func (m *merged) Len(head int) int { return m.k[head].rows.Len() }

// Bytes is directions, magnitudes, kept rows and their indices.
func (m *merged) Bytes() int64 {
	all, _ := m.bytes()
	return all
}

// Metadata is magnitudes, indices and scales.
func (m *merged) Metadata() int64 {
	_, meta := m.bytes()
	return meta
}

func (m *merged) bytes() (all, meta int64) {
	for _, heads := range [][]shared{m.k, m.v} {
		for h := range heads {
			a, b := heads[h].bytes()
			all, meta = all+a, meta+b
		}
	}
	return all, meta
}

// Read is everything but the other layer's magnitudes and kept rows.
func (m *merged) Read(layer int) int64 {
	n, other := m.Bytes(), 1-slices.Index(m.layers, layer)
	for _, heads := range [][]shared{m.k, m.v} {
		for h := range heads {
			n -= heads[h].kept[other].Bytes() + 2*int64(len(heads[h].magnitude[other]))
		}
	}
	return n
}

// Prepare makes room for the rows of a chunk.
func (m *merged) Prepare(workers, _ int) {
	k, v := m.k[0].rows.Dim, m.v[0].rows.Dim
	for range workers {
		m.rooms = append(m.rooms, mergedRoom{newRestored(k, v), make([]float32, max(k, v))})
	}
}

// Attend restores the rows and reads them.
func (m *merged) Attend(worker, layer, head, lo, hi int, q []float32, s *kernel.Scratch, out []kernel.Partial) {
	room, l := &m.rooms[worker], slices.Index(m.layers, layer)
	room.clear()
	m.k[head].restore(&room.k, l, lo, hi, room.row[:room.k.Dim])
	m.v[head].restore(&room.v, l, lo, hi, room.row[:room.v.Dim])
	room.attend(q, s, out)
}

// Clone copies the rows.
func (m *merged) Clone() Packed {
	c := &merged{layers: m.layers}
	for h := range m.k {
		c.k, c.v = append(c.k, m.k[h].clone()), append(c.v, m.v[h].clone())
	}
	return c
}
