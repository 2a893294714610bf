package cache

import (
	"slices"

	"kvgauge/sim/kernel"
)

// Policy evicts entries while decoding. It sees each layer's attention after the step, and what it keeps
// between steps are the notes of the entries, so that a clone of a store goes on as the store would have.
type Policy interface {
	// Watches says whether After looks at the probabilities, and so whether they are computed.
	Watches() bool
	// After updates the notes and, after the last layer that reads the store, names the entries to evict.
	// It allocates nothing, unless it asks for the Step's View.
	After(s *Step)
}

// Step is what a Policy sees of one layer's attention.
type Step struct {
	Token int  // its number, from 1: how many tokens there have been
	Last  bool // no other layer's attention is shown in this step
	Heads []StepHead

	store *Store
	order [][]int32 // [stored head][row of the View] the entry that it shows
}

// StepHead is one stored head in a Step.
type StepHead struct {
	Pos   []int32     // token position of each entry
	Notes []uint32    // a word for each entry, 0 in one that this step appended; nil where none were decided
	Probs [][]float32 // [query head of the group][entry] probabilities over the entries held, free to be overwritten
	Score []float32   // [entry] for the policy to add up over the layers of a step; zero before the first
	Evict []int32     // entries to evict, ascending: the policy appends to it
}

// observer is what a Store with a Policy keeps to show it each step.
type observer struct {
	policy Policy
	step   Step

	logits        [][]float32 // [query head] room for the logits of all entries, then their probabilities
	largest       []float32   // [query head] of the logits
	inverse       []float32   // [query head] of the softmax sum
	scores        [][]float32 // [stored head] room for a Score
	probabilities func(worker, head int)

	queryWindow int           // queries that are kept
	queries     []kernel.Rows // [layer that is shown * query head] those of token t in row t modulo queryWindow
}

// watch makes the memory that the policy is shown each step with.
func (s *Store) watch() {
	if s.policy == nil {
		return
	}
	group := s.qHeads / len(s.heads)
	s.step.Heads = make([]StepHead, len(s.heads))
	for j := range s.step.Heads {
		s.step.Heads[j].Evict = make([]int32, 0, s.longest)
	}
	if s.queryWindow > 0 {
		for range s.voters * s.qHeads {
			r := kernel.NewRows(kernel.F16, s.shape.K, s.queryWindow)
			for range s.queryWindow {
				r.Append(make([]float32, s.shape.K))
			}
			s.queries = append(s.queries, r)
		}
	}
	if !s.policy.Watches() {
		return
	}
	padded := (s.longest + 15) &^ 15
	for j := range s.step.Heads {
		s.step.Heads[j].Probs = make([][]float32, group)
		s.scores = append(s.scores, make([]float32, s.longest))
	}
	for range s.qHeads {
		s.logits = append(s.logits, make([]float32, padded))
	}
	s.largest, s.inverse = make([]float32, s.qHeads), make([]float32, s.qHeads)
}

// probabilitiesOf replaces the logits of a query head by its probabilities.
func (s *Store) probabilitiesOf(_, h int) {
	n := len(s.heads[h*len(s.heads)/s.qHeads].pos)
	kernel.Probabilities(s.logits[h][:n], s.largest[h:h+1], s.inverse[h:h+1])
}

// shows says whether a policy is shown the attention of a layer: one whose queries the view of the prompt did not have, a
// reader of another's rows or after a Producer decision, has no say in what is kept.
func (s *Store) shows(layer int) bool { return slices.Index(s.layers, layer) < s.voters }

// Watched says whether a policy looks at each step's attention.
func (s *Store) Watched() bool { return s.policy != nil }

// EndStep ends a step of a layer, which was attended last: the policy sees the attention and names the entries to
// evict. After the last layer that reads the store they are evicted, and the residual window is flushed. It allocates
// nothing, unless the policy looks at the whole store.
func (s *Store) EndStep(layer, pos int) {
	if s.policy != nil && s.shows(layer) {
		s.show(layer, pos)
	}
	if s.policy != nil && layer == s.layers[len(s.layers)-1] {
		for j := range s.heads {
			s.evict(j, s.step.Heads[j].Evict)
		}
	}
	s.flush(layer)
}

// show shows the policy the attention of a layer.
func (s *Store) show(layer, pos int) {
	s.step.Token, s.step.Last = pos+1, layer == s.layers[s.voters-1]
	group := s.qHeads / len(s.heads)
	for j := range s.heads {
		e, h := &s.heads[j], &s.step.Heads[j]
		h.Pos, h.Notes, h.Evict = e.pos, e.notes, h.Evict[:0]
		if s.logits == nil {
			continue
		}
		h.Score = s.scores[j][:len(e.pos)]
		if layer == s.layers[0] {
			clear(h.Score)
		}
		for g := range group {
			h.Probs[g] = s.logits[j*group+g][:len(e.pos)]
		}
	}
	s.policy.After(&s.step)
}

// evict takes out entries of a head, named in ascending order. The last entries take their places: the order
// of entries means nothing to attention, and moving all of them would cost a pass over the cache. Where groups
// of rows share scales all of them are moved, so that each stays in its group.
func (s *Store) evict(head int, entries []int32) {
	e := &s.heads[head]
	if s.codec.grouped() {
		e.evict(entries, s.shape)
		return
	}
	for _, at := range slices.Backward(entries) {
		i, last := int(at), len(e.pos)-1
		if i != last {
			e.k.Move(i, last)
			if !s.shape.Latent {
				e.v.Move(i, last)
			}
			e.pos[i] = e.pos[last]
			if e.notes != nil {
				e.notes[i] = e.notes[last]
			}
		}
		e.k.Truncate(last)
		if s.shape.Latent {
			e.v.PrefixOf(&e.k, s.shape.V)
		} else {
			e.v.Truncate(last)
		}
		e.pos = e.pos[:last]
		if e.notes != nil {
			e.notes = e.notes[:last]
		}
	}
}
