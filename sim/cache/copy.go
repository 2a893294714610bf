package cache

import "kvgauge/sim/kernel"

// CopyFrom makes the store hold what o holds. Both must have been built from the same spec.
func (s *Store) CopyFrom(o *Store) {
	for h := range s.heads {
		s.heads[h].copyFrom(&o.heads[h], s.shape)
	}
	for i := range s.queries {
		s.queries[i].CopyFrom(&o.queries[i])
	}
	if s.index != nil {
		s.index.CopyFrom(o.index)
	}
	s.appended, s.read, s.flops = o.appended, o.read, o.flops
}

// Clone returns a store of the same content with buffers of its own.
func (s *Store) Clone() *Store {
	c := *s
	c.attender, c.rebuilder = attender{}, rebuilder{rebuild: s.rebuild}
	c.observer, c.chooser = observer{policy: s.policy, window: s.window}, chooser{selector: s.selector}
	c.newCoder()
	c.heads, c.between = s.copied(), nil
	c.prepare(s.longest, s.pool, s.rope)
	c.CopyFrom(s)
	return &c
}

// Twin returns a store of the same content with rows of its own and the scratch memory of s: only one of the
// two works at a time.
func (s *Store) Twin() *Store {
	t := *s
	t.heads, t.queries = s.copied(), nil
	for i := range s.queries {
		q := kernel.NewRows(kernel.F16, s.shape.K, s.window)
		q.CopyFrom(&s.queries[i])
		t.queries = append(t.queries, q)
	}
	if s.index != nil {
		t.index = s.newIndex()
		t.index.CopyFrom(s.index)
	}
	t.bind()
	return &t
}

// copied returns the entries of all heads in buffers of the same room.
func (s *Store) copied() []entries {
	heads := make([]entries, 0, len(s.heads))
	for h := range s.heads {
		e := s.newEntries(s.heads[h].k.Cap(), s.heads[h].notes != nil)
		e.copyFrom(&s.heads[h], s.shape)
		heads = append(heads, e)
	}
	return heads
}

// copyFrom makes the entries those of f.
func (e *entries) copyFrom(f *entries, shape Shape) {
	e.k.CopyFrom(&f.k)
	if shape.Latent {
		e.v.PrefixOf(&e.k, shape.V)
	} else {
		e.v.CopyFrom(&f.v)
	}
	e.pos, e.built = append(e.pos[:0], f.pos...), f.built
	if e.notes != nil {
		e.notes = append(e.notes[:0], f.notes...)
	}
}
