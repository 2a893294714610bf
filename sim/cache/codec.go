package cache

// coder is what a Store writes rows with.
type coder struct {
	k, v   []float32 // a row, transformed
	room   []float32 // rows on their way out of a residual window
	oldest [1]int32  // the entry that a ring gives up
}

// grouped says whether entries must keep their order: some of their rows share scales, or stay in a residual window.
func (c *Codec) grouped() bool { return c.K.Grouped() || c.V.Grouped() }

// asTheyAre says whether rows are stored one by one, without a transform before.
func (c *Codec) asTheyAre() bool {
	return c.HadamardK == nil && c.HadamardV == nil && !c.grouped()
}

// newCoder makes the memory.
func (s *Store) newCoder() coder {
	return coder{
		k: make([]float32, s.shape.K), v: make([]float32, s.shape.V),
		room: make([]float32, max(s.codec.K.Room(s.shape.K), s.codec.V.Room(s.shape.V))),
	}
}

// transformed returns the rows of a token as they are stored. The result is valid until the next call with the coder.
func (s *Store) transformed(c *coder, k, v []float32) (tk, tv []float32) {
	if h := s.codec.HadamardK; h != nil {
		copy(c.k, k)
		k = c.k
		h.Transform(k)
	}
	if h := s.codec.HadamardV; h != nil {
		copy(c.v, v)
		v = c.v
		h.Transform(v)
	}
	return k, v
}

// transformQueries transforms the queries of all heads, at the start of s.q, as the keys are, and makes the products
// with them that a sketch of keys is read by.
func (s *Store) transformQueries(q []float32) {
	if s.codec.HadamardK != nil {
		s.codec.HadamardK.Transform(q)
	}
	if b := s.codec.K.Blocks; b != nil && b.Sketch != nil {
		b.Sketch.Queries(s.q)
		s.flops += 2 * int64(len(q)*s.shape.K)
	}
}

// inverseRows undoes the Hadamard transform of decoded rows, [entry][channels].
func (s *Store) inverseRows(k, v []float32) {
	if s.codec.HadamardK != nil {
		s.codec.HadamardK.Inverse(k)
	}
	if s.codec.HadamardV != nil && !s.shape.Latent {
		s.codec.HadamardV.Inverse(v)
	}
	if s.shape.Latent {
		for i := 0; i*s.shape.V < len(v); i++ {
			copy(v[i*s.shape.V:(i+1)*s.shape.V], k[i*s.shape.K:])
		}
	}
}

// flush quantises the rows that leave the residual window, once the last layer that reads them has.
func (s *Store) flush(layer int) {
	if layer != s.layers[len(s.layers)-1] || !s.codec.grouped() {
		return
	}
	for h := range s.heads {
		// The residual window is in f16: no scale of it is beyond what f16 holds.
		_ = s.heads[h].flush(s.room, s.shape)
	}
}

// flush quantises the rows of one head.
func (e *entries) flush(room []float32, shape Shape) (ok bool) {
	ok = e.k.Flush(room)
	if shape.Latent {
		e.v.PrefixOf(&e.k, shape.V)
		return ok
	}
	return e.v.Flush(room) && ok
}

// evict takes out entries, named in ascending order; the others stay in theirs.
func (e *entries) evict(drop []int32, shape Shape) {
	e.k.Evict(drop)
	if shape.Latent {
		e.v.PrefixOf(&e.k, shape.V)
	} else {
		e.v.Evict(drop)
	}
	e.pos, e.notes = without(e.pos, drop), without(e.notes, drop)
}

// without closes the gaps that the named elements leave; nil stays nil.
func without[T any](s []T, drop []int32) []T {
	if s == nil {
		return nil
	}
	kept := s[:0]
	for i, x := range s {
		if len(drop) > 0 && int(drop[0]) == i {
			drop = drop[1:]
			continue
		}
		kept = append(kept, x)
	}
	return kept
}
