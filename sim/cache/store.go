package cache

import (
	"errors"
	"slices"

	"kvgauge/sim/kernel"
)

// ErrRange says that a row holds a value that its format cannot hold.
var ErrRange = errors.New("a key or value is beyond 65504, the largest f16 value")

// Spec is all that a store is built from.
type Spec struct {
	View      *View      // the prompt, with the decisions applied
	Before    Shape      // of the rows that tokens bring, before the maps
	Decisions []Decision // of the pipeline's stages, in order
	Decode    int        // how many tokens will be appended
	Pool      *kernel.Pool
}

// Store is the cache of one group of layers: for each stored head the rows that are kept.
type Store struct {
	layers []int // model's numbers; the lowest produces the rows
	qHeads int
	before Shape // of a token's rows as they come
	shape  Shape // as they are stored
	codec  Codec
	scale  float32
	maps   []Map
	ring   *Ring
	meta   int64 // bytes kept between steps besides the entries

	noted    bool // entries carry notes
	heads    []entries
	built    int   // rows that the prompt left in a ring
	appended int   // tokens since the prompt
	read     int64 // bytes read since the last append
	flops    int64 // floating-point operations of attending since then

	between []rows // scratch: a token's rows after each map
	attender
	rebuilder
	packer
	observer
}

// entries is what one stored head holds. Rows stand in position order, but for a ring and after a policy
// dropped some.
type entries struct {
	k, v  kernel.Rows // v is a prefix of k's rows where the shape is Latent
	notes []uint32    // a word for each row, where a policy keeps any
	pos   []int32     // token position of each row: the tool's own bookkeeping, not charged
}

// Build encodes the rows of the spec's view and makes room for the tokens to come. It fails with ErrRange.
func Build(spec Spec) (*Store, error) {
	v := spec.View
	s := &Store{layers: v.Layers, qHeads: v.QHeads(), before: spec.Before, shape: v.Shape(), scale: float32(v.Scale)}
	s.codec = Codec{kernel.F16, kernel.F16}
	var notes [][]uint32
	var packing Packing
	for _, d := range spec.Decisions {
		if d.Map != nil {
			s.maps = append(s.maps, d.Map)
		}
		if d.Ring != nil {
			s.ring = d.Ring
		}
		if d.Codec != nil {
			s.codec = *d.Codec
		}
		if d.Policy != nil {
			s.policy, notes = d.Policy, d.Notes
		}
		if d.Packing != nil {
			packing = d.Packing
		}
		s.meta += d.MetaPerStore
	}
	s.noted = notes != nil
	if packing != nil {
		longest, err := s.pack(packing, v, spec.Decode)
		if err != nil {
			return nil, err
		}
		s.prepare(longest, spec.Pool, v.Rope)
		return s, nil
	}
	longest := 0
	for h := range v.K {
		n := v.Rows(h)
		most := n + spec.Decode
		if s.ring != nil {
			most = min(most, max(n, s.ring.Capacity))
		}
		longest = max(longest, most)
		e := s.newEntries(most)
		e.pos = append(e.pos, v.Pos[h]...)
		if notes != nil {
			e.notes = append(e.notes, notes[h]...)
		}
		for i := range n {
			if !e.append(v.K[h][i*v.Dim:(i+1)*v.Dim], v.V[h][i*v.VDim:(i+1)*v.VDim], s.shape) {
				return nil, ErrRange
			}
		}
		s.heads = append(s.heads, e)
	}
	s.built = len(s.heads[0].pos)
	s.prepare(longest, spec.Pool, v.Rope)
	return s, nil
}

// newEntries makes room for n rows.
func (s *Store) newEntries(n int) entries {
	e := entries{k: kernel.NewRows(s.codec.K, s.shape.K, n), pos: make([]int32, 0, n)}
	if !s.shape.Latent {
		e.v = kernel.NewRows(s.codec.V, s.shape.V, n)
	}
	if s.noted {
		e.notes = make([]uint32, 0, n)
	}
	return e
}

// append encodes a further row.
func (e *entries) append(k, v []float32, shape Shape) (ok bool) {
	ok = e.k.Append(k)
	if shape.Latent {
		e.v = e.k.Prefix(shape.V)
		return ok
	}
	return e.v.Append(v) && ok
}

// set encodes row i anew.
func (e *entries) set(i int, k, v []float32, shape Shape) (ok bool) {
	ok = e.k.Set(i, k)
	if shape.Latent {
		return ok
	}
	return e.v.Set(i, v) && ok
}

// bytes is what the entries take, notes apart.
func (e *entries) bytes(shape Shape) int64 {
	if shape.Latent {
		return e.k.Bytes()
	}
	return e.k.Bytes() + e.v.Bytes()
}

// Heads is how many heads are stored; query head h reads stored head h / (query heads / Heads).
func (s *Store) Heads() int { return len(s.heads) }

// Pos returns the token positions that a stored head holds, in storage order. Read only.
func (s *Store) Pos(head int) []int32 { return s.heads[head].pos }

// Append stores the rows of the token at position pos, k and v [kv_head][dim] as the trace has them.
// Rows of a layer that shares the store without producing its rows are ignored. It fails with ErrRange.
func (s *Store) Append(layer, pos int, k, v [][]float32) error {
	if !s.enter(layer) {
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
		if i < len(e.pos) {
			ok = e.set(i, k[h], v[h], s.shape) && ok
			e.pos[i] = int32(pos)
			continue
		}
		ok = e.append(k[h], v[h], s.shape) && ok
		e.pos = append(e.pos, int32(pos))
		if e.notes != nil {
			e.notes = append(e.notes, 0)
		}
	}
	if layer == s.layers[0] {
		s.appended++
		s.read, s.flops = s.meta, 0
	}
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

// Bytes returns what the store holds: rows, and what its methods keep between steps.
func (s *Store) Bytes() int64 {
	n := s.Metadata()
	if s.packed != nil {
		n += s.packed.Bytes() - s.packed.Metadata()
	}
	s.every(func(e *entries) {
		n += e.bytes(s.shape) - e.k.ScaleBytes()
		if !s.shape.Latent {
			n -= e.v.ScaleBytes()
		}
	})
	return n
}

// Metadata returns the part of Bytes that is not keys and values: scales, notes and maps.
func (s *Store) Metadata() int64 {
	n := s.meta
	if s.packed != nil {
		n += s.packed.Metadata()
	}
	s.every(func(e *entries) {
		n += e.k.ScaleBytes() + 4*int64(len(e.notes))
		if !s.shape.Latent {
			n += e.v.ScaleBytes()
		}
	})
	return n
}

// Paged returns what the store takes where every head allocates whole pages of page entries. Packed rows,
// which do not grow, take what they take.
func (s *Store) Paged(page int) int64 {
	n := s.meta
	if s.packed != nil {
		n += s.packed.Bytes()
	}
	s.every(func(e *entries) {
		pages := (e.k.Len() + page - 1) / page
		n += int64(pages) * int64(page) * s.entryBytes()
	})
	return n
}

// entryBytes is what one entry of one stored head takes.
func (s *Store) entryBytes() int64 {
	n := s.heads[0].k.RowBytes()
	if !s.shape.Latent {
		n += s.heads[0].v.RowBytes()
	}
	if s.noted {
		n += 4
	}
	return n
}

// Traffic returns the bytes that attending has read since the last append.
func (s *Store) Traffic() int64 { return s.read }

// FLOPs returns the floating-point operations of attention since the last append: those of scores, of weighted
// values, and of the folds of queries and outputs.
func (s *Store) FLOPs() int64 { return s.flops }

// CopyFrom makes the store hold what o holds. Both must have been built from the same spec.
func (s *Store) CopyFrom(o *Store) {
	for i := range s.tails {
		s.heads, o.heads = s.tails[i], o.tails[i]
		s.copyHeads(o)
	}
	if s.tails == nil {
		s.copyHeads(o)
	}
	s.appended, s.read, s.flops = o.appended, o.read, o.flops
}

// copyHeads copies the rows at hand.
func (s *Store) copyHeads(o *Store) {
	for h := range s.heads {
		s.heads[h].copyFrom(&o.heads[h], s.shape)
	}
}

// Clone returns a store of the same content with buffers of its own.
func (s *Store) Clone() *Store {
	c := *s
	c.attender, c.rebuilder, c.observer = attender{}, rebuilder{rebuild: s.rebuild}, observer{policy: s.policy}
	c.heads, c.between = s.copied(s.heads), nil
	c.copyPacked(s)
	c.prepare(s.longest, s.pool, s.rope)
	return &c
}

// Twin returns a store of the same content with rows of its own and the scratch memory of s: only one of the
// two works at a time.
func (s *Store) Twin() *Store {
	t := *s
	t.heads = s.copied(s.heads)
	t.copyPacked(s)
	t.bind()
	return &t
}

// copied returns entries in buffers of the same room.
func (s *Store) copied(of []entries) []entries {
	heads := make([]entries, 0, len(of))
	for h := range of {
		e := s.newEntries(of[h].k.Cap())
		e.pos = make([]int32, 0, cap(of[h].pos))
		e.copyFrom(&of[h], s.shape)
		heads = append(heads, e)
	}
	return heads
}

// copyFrom makes the entries those of f.
func (e *entries) copyFrom(f *entries, shape Shape) {
	e.k.CopyFrom(&f.k)
	if shape.Latent {
		e.v = e.k.Prefix(shape.V)
	} else {
		e.v.CopyFrom(&f.v)
	}
	e.pos = append(e.pos[:0], f.pos...)
	if e.notes != nil {
		e.notes = append(e.notes[:0], f.notes...)
	}
}

// Kept returns the positions that each stored head holds, ascending.
func (s *Store) Kept() [][]int32 {
	kept := make([][]int32, len(s.heads))
	for h, e := range s.heads {
		kept[h] = slices.Sorted(slices.Values(e.pos))
	}
	return kept
}

// Rewind takes the last n tokens out of a store that only grows.
func (s *Store) Rewind(n int) {
	for h := range s.heads {
		e := &s.heads[h]
		rows := len(e.pos) - n
		e.k.Truncate(rows)
		e.v.Truncate(rows)
		e.pos = e.pos[:rows]
	}
	s.appended -= n
}
