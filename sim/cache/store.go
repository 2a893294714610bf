package cache

import (
	"errors"
	"slices"

	"kvgauge/sim/kernel"
)

// ErrRange says that a row holds a value that binary16 cannot hold.
var ErrRange = errors.New("a key or value is beyond 65504, the largest f16 value")

// Spec is all that a store is built from.
type Spec struct {
	View      *View      // the prompt, with the decisions applied
	Decisions []Decision // of the pipeline's stages, in order
	Decode    int        // how many tokens will be appended
	Pool      *kernel.Pool
}

// Store is the cache of one group of layers: for each stored head the rows that are kept, in f16.
type Store struct {
	layers []int // model's numbers; the lowest produces the rows
	qHeads int
	dim    int
	scale  float32
	maps   []Map
	ring   *Ring

	heads    []entries
	built    int   // rows that the prompt left in a ring
	appended int   // tokens since the prompt
	read     int64 // bytes read since the last append

	between []pair // scratch: a token's rows after each map
	attender
}

// entries is what one stored head holds. Rows stand in position order, but for a ring.
type entries struct {
	k, v kernel.Rows
	pos  []int32 // token position of each row: the tool's own bookkeeping, not charged
}

// Build encodes the rows of the spec's view and makes room for the tokens to come. It fails with ErrRange.
func Build(spec Spec) (*Store, error) {
	v := spec.View
	s := &Store{layers: v.Layers, qHeads: v.QHeads(), dim: v.Dim, scale: float32(v.Scale)}
	for _, d := range spec.Decisions {
		if d.Map != nil {
			s.maps = append(s.maps, d.Map)
		}
		if d.Ring != nil {
			s.ring = d.Ring
		}
	}
	longest := 0
	for h := range v.K {
		n := v.Rows(h)
		most := n + spec.Decode
		if s.ring != nil {
			most = min(most, max(n, s.ring.Capacity))
		}
		longest = max(longest, most)
		e := entries{
			k:   kernel.NewRows(kernel.F16, v.Dim, most),
			v:   kernel.NewRows(kernel.F16, v.Dim, most),
			pos: append(make([]int32, 0, most), v.Pos[h]...),
		}
		for i := range n {
			if !e.k.Append(v.K[h][i*v.Dim:(i+1)*v.Dim]) || !e.v.Append(v.V[h][i*v.Dim:(i+1)*v.Dim]) {
				return nil, ErrRange
			}
		}
		s.heads = append(s.heads, e)
	}
	s.built = len(s.heads[0].pos)
	s.prepare(longest, spec.Pool, v.Rope)
	return s, nil
}

// Heads is how many heads are stored; query head h reads stored head h / (query heads / Heads).
func (s *Store) Heads() int { return len(s.heads) }

// Pos returns the token positions that a stored head holds, in storage order. Read only.
func (s *Store) Pos(head int) []int32 { return s.heads[head].pos }

// Append stores the rows of the token at position pos, k and v [kv_head][dim] as the trace has them.
// Rows of a layer that shares the store without producing its rows are ignored. It fails with ErrRange.
func (s *Store) Append(layer, pos int, k, v [][]float32) error {
	if layer != s.layers[0] {
		return nil
	}
	for i, m := range s.maps {
		m.Row(pos, k, v, s.between[i].k, s.between[i].v)
		k, v = s.between[i].k, s.between[i].v
	}
	ok := true
	for h := range s.heads {
		e := &s.heads[h]
		i := s.slot(len(e.pos))
		if i == len(e.pos) {
			ok = e.k.Append(k[h]) && ok
			ok = e.v.Append(v[h]) && ok
			e.pos = append(e.pos, int32(pos))
			continue
		}
		ok = e.k.Set(i, k[h]) && ok
		ok = e.v.Set(i, v[h]) && ok
		e.pos[i] = int32(pos)
	}
	s.appended++
	s.read = 0
	if !ok {
		return ErrRange
	}
	return nil
}

// slot returns the row that the next token goes to, where n are held. A full ring that was built with
// kept rows goes round from its oldest, the first after the sinks.
func (s *Store) slot(n int) int {
	if s.ring == nil || n < s.ring.Capacity {
		return n
	}
	grown := s.ring.Capacity - s.built // appended before the ring was full
	return s.ring.Sinks + (s.appended-grown)%(s.ring.Capacity-s.ring.Sinks)
}

// Payload returns the bytes of the keys and values that the store holds.
func (s *Store) Payload() int64 {
	var n int64
	for h := range s.heads {
		n += s.heads[h].k.Bytes() + s.heads[h].v.Bytes()
	}
	return n
}

// Paged returns what the payload takes where every head allocates whole pages of page entries.
func (s *Store) Paged(page int) int64 {
	var n int64
	for _, e := range s.heads {
		pages := (len(e.pos) + page - 1) / page
		n += int64(pages) * int64(page) * s.rowBytes()
	}
	return n
}

// rowBytes is what one entry of one stored head takes.
func (s *Store) rowBytes() int64 { return s.heads[0].k.RowBytes() + s.heads[0].v.RowBytes() }

// Traffic returns the bytes that attending has read since the last append.
func (s *Store) Traffic() int64 { return s.read }

// CopyFrom makes the store hold what o holds. Both must have been built from the same spec.
func (s *Store) CopyFrom(o *Store) {
	for h := range s.heads {
		e, f := &s.heads[h], &o.heads[h]
		e.k.CopyFrom(&f.k)
		e.v.CopyFrom(&f.v)
		e.pos = append(e.pos[:0], f.pos...)
	}
	s.appended, s.read = o.appended, o.read
}

// Clone returns a store of the same content with buffers of its own.
func (s *Store) Clone() *Store {
	c := &Store{layers: s.layers, qHeads: s.qHeads, dim: s.dim, scale: s.scale, maps: s.maps, ring: s.ring, built: s.built}
	for h := range s.heads {
		e := &s.heads[h]
		c.heads = append(c.heads, entries{
			k:   kernel.NewRows(e.k.Format, e.k.Dim, e.k.Cap()),
			v:   kernel.NewRows(e.v.Format, e.v.Dim, e.v.Cap()),
			pos: make([]int32, 0, cap(e.pos)),
		})
	}
	c.prepare(s.longest, s.pool, s.rope)
	c.CopyFrom(s)
	return c
}

// Kept returns the positions that each stored head holds, ascending.
func (s *Store) Kept() [][]int32 {
	kept := make([][]int32, len(s.heads))
	for h, e := range s.heads {
		kept[h] = slices.Sorted(slices.Values(e.pos))
	}
	return kept
}
