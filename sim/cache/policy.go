package cache

import "slices"

// Policy drops entries while decoding. It sees each layer's attention after the step, and what it keeps
// between steps are the notes of the entries, so that a copy of a store goes on as the store would have.
type Policy interface {
	// After updates the notes and, after the last layer that reads the store, names the entries to drop.
	// It allocates nothing.
	After(s *Step)
}

// Step is what a Policy sees of one layer's attention.
type Step struct {
	Token int  // its number, from 1: how many tokens there have been
	Last  bool // no other layer reads the store in this step
	Heads []StepHead
}

// StepHead is one stored head in a Step.
type StepHead struct {
	Pos   []int32     // token position of each entry
	Notes []uint32    // a word for each entry, 0 in one that this step appended; nil where none were decided
	Probs [][]float32 // [query head of the group][entry] probabilities over the entries that are held
	Drop  []int32     // entries to drop, ascending: the policy appends to it
}

// observer is what a Store with a Policy keeps to show it each step.
type observer struct {
	policy Policy
	step   Step
	logits [][]float32 // [query head] room for the logits of all entries, then their probabilities
}

// watch makes the memory that the policy is shown each step with.
func (s *Store) watch() {
	if s.policy == nil {
		return
	}
	group := s.qHeads / len(s.heads)
	s.step.Heads = make([]StepHead, len(s.heads))
	for j := range s.step.Heads {
		s.step.Heads[j].Probs = make([][]float32, group)
		s.step.Heads[j].Drop = make([]int32, 0, s.longest)
	}
	for range s.qHeads {
		s.logits = append(s.logits, make([]float32, s.longest))
	}
}

// Watched says whether a policy looks at each step's attention.
func (s *Store) Watched() bool { return s.policy != nil }

// Settle lets the policy see the attention of the layer that was attended last, and drops what it names.
// Without a policy it does nothing. It allocates nothing.
func (s *Store) Settle(layer, pos int) {
	if s.policy == nil {
		return
	}
	s.step.Token, s.step.Last = pos+1, layer == s.layers[len(s.layers)-1]
	group := s.qHeads / len(s.heads)
	for j := range s.heads {
		e, h := &s.heads[j], &s.step.Heads[j]
		h.Pos, h.Notes, h.Drop = e.pos, e.notes, h.Drop[:0]
		for g := range group {
			h.Probs[g] = s.logits[j*group+g][:len(e.pos)]
		}
	}
	s.policy.After(&s.step)
	for j := range s.heads {
		s.drop(j, s.step.Heads[j].Drop)
	}
}

// drop removes entries of a head, named in ascending order. The last entries take their places: the order
// of entries means nothing to attention, and moving all of them would cost a pass over the cache.
func (s *Store) drop(head int, entries []int32) {
	e := &s.heads[head]
	for _, at := range slices.Backward(entries) {
		i, last := int(at), len(e.pos)-1
		if i != last {
			e.k.Move(i, last)
			if !s.shape.Latent {
				e.v.Move(i, last)
			}
			e.pos[i] = e.pos[last]
			if s.noted {
				e.notes[i] = e.notes[last]
			}
		}
		e.k.Truncate(last)
		if s.shape.Latent {
			e.v = e.k.Prefix(s.shape.V)
		} else {
			e.v.Truncate(last)
		}
		e.pos = e.pos[:last]
		if s.noted {
			e.notes = e.notes[:last]
		}
	}
}
