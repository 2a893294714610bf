package cache

// CopyFrom makes the store hold what o holds. Both must have been built from the same spec.
func (s *Store) CopyFrom(o *Store) {
	for h := range s.heads {
		s.heads[h].copyFrom(&o.heads[h], s.shape)
	}
	for l, heads := range s.tails {
		for h := range heads {
			heads[h].copyFrom(&o.tails[l][h], s.shape)
		}
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
	c.observer, c.selection = observer{policy: s.policy, queryWindow: s.queryWindow}, selection{selector: s.selector}
	c.newCoder()
	c.heads, c.between = s.cloneEntries(s.heads), nil
	c.clonePrompt(s)
	c.prepare(s.longest, s.pool, s.rope)
	c.CopyFrom(s)
	return &c
}

// cloneEntries returns entries in buffers of the same room.
func (s *Store) cloneEntries(of []entries) []entries {
	heads := make([]entries, 0, len(of))
	for h := range of {
		e := s.newEntries(h, of[h].k.Cap(), of[h].notes != nil)
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
		e.v.PrefixOf(&e.k, shape.V)
	} else {
		e.v.CopyFrom(&f.v)
	}
	e.pos, e.built = append(e.pos[:0], f.pos...), f.built
	if e.notes != nil {
		e.notes = append(e.notes[:0], f.notes...)
	}
}
