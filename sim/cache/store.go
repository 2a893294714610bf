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
	voters int   // how many of layers, the first, have a say in what is kept: a policy is shown these
	qHeads int
	before Shape // of a token's rows as they come
	shape  Shape // as they are stored
	codec  Codec
	rules  [][]kernel.Rule // [layer][query head]
	bends  []bool          // [layer] whether any rule does more than scale
	maps   []Map
	ring   *Ring
	meta   int64 // bytes kept between steps besides the entries

	heads    []entries
	appended int   // tokens since the prompt
	read     int64 // bytes read since the last append
	flops    int64 // floating-point operations of attending since then

	between []rows // scratch: a token's rows after each map
	coder
	attender
	rebuilder
	promptRows
	observer
	selection
}

// entries is what one stored head holds. Rows stand in position order, but for a ring and after a policy
// evicted entries; where rows share scales or stay in a residual window they always do.
type entries struct {
	k, v  kernel.Rows // v is a prefix of k's rows where the shape is Latent
	notes []uint32    // a word for each row, where a policy keeps any
	pos   []int32     // token position of each row: the tool's own bookkeeping, not charged
	built int         // rows that the prompt left
}

// Build encodes the rows of the spec's view and makes room for the tokens to come. It fails with ErrRange.
func Build(spec Spec) (*Store, error) {
	v := spec.View
	s := &Store{layers: v.Layers, voters: len(v.Q), qHeads: v.QHeads(), before: spec.Before, shape: v.Shape()}
	s.follow(v.Rules)
	s.codec = Codec{K: kernel.Plain(kernel.F16), V: kernel.Plain(kernel.F16)}
	var notes [][]uint32
	var packing PromptStorage
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
			s.policy, s.queryWindow = d.Policy, d.Queries
		}
		if d.Notes != nil {
			notes = d.Notes
		}
		if d.Select != nil {
			s.selector = d.Select
		}
		if d.Prompt != nil {
			packing = d.Prompt
		}
		s.meta += d.MetaPerStore
	}
	s.read = s.meta // until the first append, if there is one
	if s.shape.Latent {
		s.codec.V, s.codec.HadamardV = kernel.Layout{}, s.codec.HadamardK
	}
	s.coder = s.newCoder()
	if packing != nil {
		longest, err := s.encodePrompt(packing, v, spec.Decode)
		if err != nil {
			return nil, err
		}
		s.prepare(longest, spec.Pool, v.Rope)
		return s, nil
	}
	longest := 0
	s.heads = make([]entries, v.Heads())
	for h := range s.heads {
		n := v.Rows(h)
		most := n + spec.Decode
		if s.goesRound(h) {
			most = min(most, max(n, s.ring.Capacity))
		}
		longest = max(longest, most)
		s.heads[h] = s.newEntries(h, most, notes != nil)
		if notes != nil {
			s.heads[h].notes = append(s.heads[h].notes, notes[h]...)
		}
	}
	if err := s.fillHeads(v, spec.Pool); err != nil {
		return nil, err
	}
	s.prepare(longest, spec.Pool, v.Rope)
	s.keepQueries(v)
	s.fillIndex()
	return s, nil
}

// Refill makes a store without maps, notes and the like, as full's is, that of another prompt of the same shape.
func (s *Store) Refill(v *View, pool *kernel.Pool) error {
	s.layers, s.voters, s.appended, s.read, s.flops = v.Layers, len(v.Q), 0, 0, 0
	s.follow(v.Rules)
	for h := range s.heads {
		e := &s.heads[h]
		e.k.Truncate(0)
		e.v.Truncate(0)
		e.pos = e.pos[:0]
	}
	return s.fillHeads(v, pool)
}

// follow makes the layers attend by rules. Clones keep those that they were made with.
func (s *Store) follow(rules [][]kernel.Rule) {
	s.rules, s.bends = rules, make([]bool, len(rules))
	for l, heads := range rules {
		s.bends[l] = kernel.Bends(heads)
	}
}

// fillHeads encodes the prompt, heads side by side, and keys beside values where nothing else happens to rows.
func (s *Store) fillHeads(v *View, pool *kernel.Pool) error {
	for h := range s.heads {
		e := &s.heads[h]
		e.pos, e.built = append(e.pos, v.Pos[h]...), v.Rows(h)
	}
	parts, fill := len(s.heads), s.fill
	if s.codec.asTheyAre() {
		parts, fill = 2*len(s.heads), s.fillHalf
	}
	finite := make([]bool, parts)
	pool.Run(parts, func(_, i int) { finite[i] = fill(i, v) })
	if slices.Contains(finite, false) {
		return ErrRange
	}
	return nil
}

// fill encodes a head's rows of the prompt.
func (s *Store) fill(h int, v *View) (finite bool) {
	e, c := &s.heads[h], s.newCoder()
	for i := range e.built {
		k, val := v.rowOf(h, i)
		k, val = s.transformed(&c, k, val)
		if !e.append(k, val, s.shape) || !e.flush(c.room, s.shape) {
			return false
		}
	}
	e.k.EndPrompt()
	e.v.EndPrompt()
	return true
}

// fillHalf encodes the rows of a head as they are: keys, and at odd parts values.
func (s *Store) fillHalf(part int, v *View) (finite bool) {
	h := part / 2
	e := &s.heads[h]
	switch {
	case part%2 == 0:
		finite = v.appendTo(&e.k, v.K[h], h)
		if v.Latent {
			e.v.PrefixOf(&e.k, v.VDim)
		}
		return finite
	case v.Latent:
		return true
	}
	return v.appendTo(&e.v, v.V[h], h)
}

// newEntries makes room for n rows of a head.
func (s *Store) newEntries(head, n int, notes bool) entries {
	e := entries{k: s.codec.K.Of(head).Rows(s.shape.K, n), pos: make([]int32, 0, n)}
	if !s.shape.Latent {
		e.v = s.codec.V.Of(head).Rows(s.shape.V, n)
	}
	if notes {
		e.notes = make([]uint32, 0, n)
	}
	return e
}

// append encodes a further row.
func (e *entries) append(k, v []float32, shape Shape) (ok bool) {
	ok = e.k.Append(k)
	if shape.Latent {
		e.v.PrefixOf(&e.k, shape.V)
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

// bytes is what the entries take.
func (e *entries) bytes(shape Shape) int64 {
	n := e.k.Bytes() + 4*int64(len(e.notes))
	if !shape.Latent {
		n += e.v.Bytes()
	}
	return n
}

// Clipped counts the values that rows were given beyond what fixed scales have codes for.
func (s *Store) Clipped() (n kernel.Clipped) {
	s.eachHead(func(e *entries) {
		e.k.Cut(&n)
		if !s.shape.Latent {
			e.v.Cut(&n)
		}
	})
	return n
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
		k, v := s.transformed(&s.coder, k[h], v[h])
		i := s.slot(h)
		if i < len(e.pos) && !s.codec.grouped() {
			ok = e.set(i, k, v, s.shape) && ok
			e.pos[i] = int32(pos)
			continue
		}
		if i < len(e.pos) {
			s.oldest[0] = int32(s.ring.Sinks)
			e.evict(s.oldest[:], s.shape)
		}
		ok = e.append(k, v, s.shape) && ok
		e.pos = append(e.pos, int32(pos))
		if e.notes != nil {
			e.notes = append(e.notes, 0)
		}
	}
	if layer == s.layers[0] {
		s.appended++
		s.read, s.flops = s.meta, 0
	}
	s.extendIndex()
	if !ok {
		return ErrRange
	}
	return nil
}

// goesRound says whether a head holds a ring.
func (s *Store) goesRound(h int) bool {
	return s.ring != nil && (s.ring.Heads == nil || s.ring.Heads[h])
}

// slot returns the row that a head's next token goes to. A full ring that was built with kept rows goes round
// from its oldest, the first after the sinks.
func (s *Store) slot(h int) int {
	e := &s.heads[h]
	if n := len(e.pos); !s.goesRound(h) || n < s.ring.Capacity {
		return n
	}
	grown := s.ring.Capacity - e.built // appended before the ring was full
	return s.ring.Sinks + (s.appended-grown)%(s.ring.Capacity-s.ring.Sinks)
}

// Bytes returns what the store holds: rows, and what its methods keep between steps.
func (s *Store) Bytes() int64 {
	n := s.meta + s.queryBytes() + s.indexBytes()
	if s.prompt != nil {
		n += s.prompt.Bytes()
	}
	s.eachHead(func(e *entries) { n += e.bytes(s.shape) })
	return n
}

// Buffers appends to dst the memory that a step of any layer reads, as real decoding finds it in memory: rows with
// their scales, notes, stored prompts, indices, kept queries and the matrices of maps.
func (s *Store) Buffers(dst [][]byte) [][]byte {
	s.eachHead(func(e *entries) {
		dst = append(e.k.Buffers(dst), kernel.Memory(e.notes), kernel.Memory(e.pos))
		if !s.shape.Latent {
			dst = e.v.Buffers(dst)
		}
	})
	if s.prompt != nil {
		dst = s.prompt.Buffers(dst)
	}
	if s.index != nil {
		dst = s.index.Buffers(dst)
	}
	for i := range s.queries {
		dst = s.queries[i].Buffers(dst)
	}
	for _, m := range s.maps {
		dst = m.Buffers(dst)
	}
	return s.codec.K.Buffers(dst)
}

// Metadata returns the part of Bytes that is not keys and values: scales, notes, maps, queries and indices.
func (s *Store) Metadata() int64 {
	n := s.meta + s.queryBytes() + s.indexBytes()
	if s.prompt != nil {
		n += s.prompt.Metadata()
	}
	s.eachHead(func(e *entries) {
		n += e.k.ScaleBytes() + 4*int64(len(e.notes))
		if !s.shape.Latent {
			n += e.v.ScaleBytes()
		}
	})
	return n
}

// Paged returns what the store takes where every head allocates whole pages of page entries. A stored
// prompt, which does not grow, takes what it takes.
func (s *Store) Paged(page int) int64 {
	n := s.meta + s.queryBytes() + s.indexBytes()
	if s.prompt != nil {
		n += s.prompt.Bytes()
	}
	s.eachHead(func(e *entries) {
		held := e.k.Len()
		n += e.bytes(s.shape) + int64((held+page-1)/page*page-held)*s.entryBytes()
	})
	return n
}

// entryBytes is what a further entry of a stored head takes.
func (s *Store) entryBytes() int64 {
	n := s.heads[0].k.RowBytes()
	if !s.shape.Latent {
		n += s.heads[0].v.RowBytes()
	}
	if s.heads[0].notes != nil {
		n += 4
	}
	return n
}

// Traffic returns the bytes of the rows that attending has gone through since the last append; blocks that a window hides
// from all heads are among them.
func (s *Store) Traffic() int64 { return s.read }

// FLOPs returns the floating-point operations of attention since the last append: those of scores, of weighted
// values, and of the folds of queries and outputs.
func (s *Store) FLOPs() int64 { return s.flops }

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
		if s.shape.Latent {
			e.v.PrefixOf(&e.k, s.shape.V)
		} else {
			e.v.Truncate(rows)
		}
		e.pos = e.pos[:rows]
	}
	s.appended -= n
}
