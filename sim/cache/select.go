package cache

import (
	"slices"

	"kvgauge/sim/kernel"
)

// Selector says how the steps of a store choose the entries that they read. What is not read stays.
type Selector interface {
	// Index makes an empty index for heads stored heads of up to longest entries each, with keys of dim
	// channels, each read by group query heads.
	Index(heads, group, dim, longest int) Index
	// PerQueryHead says whether each query head chooses for itself, or one set serves a stored head.
	PerQueryHead() bool
}

// Index is what a store keeps besides its entries to choose among them, and the choice.
type Index interface {
	// Append takes the key of a head's further entry, as it reads back from the store, any transform undone.
	Append(head int, key []float32)
	// Select names the entries that a step reads. It allocates nothing.
	Select(r *Reading)
	// Bytes is what the index takes.
	Bytes() int64
	// Buffers appends to dst the memory that Select reads: what Bytes counts, and matrices.
	Buffers(dst [][]byte) [][]byte
	// CopyFrom makes the index hold what another of the same Selector and sizes holds.
	CopyFrom(Index)
}

// Reading is one layer's step of a Selector.
type Reading struct {
	Layer    int
	Q        []float32      // [query head][channels] queries, the softmax scale included
	Keys     []*kernel.Rows // [stored head] the keys held, as they lie in the store
	Read     []float32      // [query head][Keys' channels] the queries as they read Keys: Q, transformed where the keys are
	Selected [][]int32      // [query head or stored head] entries to read, ascending: empty, with room for all
	All      bool           // set by the Index where the step reads everything
	Bytes    int64          // of the index that were read, set by the Index
}

// selection is what a Store with a Selector reads with.
type selection struct {
	selector    Selector
	index       Index
	reading     Reading
	selecting   bool               // the last step read selected entries alone
	seen        []bool             // [entry] scratch
	key         []float32          // scratch
	plain       []float32          // scratch: the queries before they are transformed
	gathered    []*kernel.Gathered // [worker]
	runSelected func(worker, i int)
}

// openIndex makes an empty index and the memory to attend by it.
func (s *Store) openIndex() {
	if s.selector == nil {
		return
	}
	s.index = s.newIndex()
	readers := len(s.heads)
	if s.selector.PerQueryHead() {
		readers = s.qHeads
	}
	for range readers {
		s.reading.Selected = append(s.reading.Selected, make([]int32, 0, s.longest))
	}
	for range s.pool.Threads() {
		s.gathered = append(s.gathered, kernel.NewGathered(&s.heads[0].k, &s.heads[0].v, s.shape.Latent))
	}
	s.seen, s.key, s.plain = make([]bool, s.longest), make([]float32, s.shape.K), make([]float32, s.qHeads*s.shape.K)
}

// newIndex makes an empty index.
func (s *Store) newIndex() Index {
	return s.selector.Index(len(s.heads), s.qHeads/len(s.heads), s.shape.K, s.longest)
}

// fillIndex shows the index the rows that the prompt left.
func (s *Store) fillIndex() {
	if s.index == nil {
		return
	}
	for i := range s.longest {
		for h := range s.heads {
			if i < s.heads[h].k.Len() {
				s.showIndex(h, i)
			}
		}
	}
}

// extendIndex shows the index the row that was appended to each head.
func (s *Store) extendIndex() {
	if s.index == nil {
		return
	}
	for h := range s.heads {
		s.showIndex(h, s.heads[h].k.Len()-1)
	}
}

// showIndex appends the key of a head's entry.
func (s *Store) showIndex(head, i int) {
	s.heads[head].k.Row(i, s.key)
	if s.codec.HadamardK != nil {
		s.codec.HadamardK.Inverse(s.key)
	}
	s.index.Append(head, s.key)
}

// indexBytes is what the index takes.
func (s *Store) indexBytes() int64 {
	if s.index == nil {
		return 0
	}
	return s.index.Bytes()
}

// attendSelected lets the index select entries and attends over them. It reports false, with nothing attended,
// where that is everything.
func (s *Store) attendSelected(layer int, out []float32) bool {
	r := &s.reading
	r.Layer, r.Q, r.Read, r.All, r.Bytes = layer, s.plain, s.q, false, 0
	for i := range r.Selected {
		r.Selected[i] = r.Selected[i][:0]
	}
	s.index.Select(r)
	s.read += r.Bytes
	s.selecting = !r.All
	if r.All {
		return false
	}
	work := 0
	for h := range s.heads {
		s.read += int64(s.union(h)) * s.entryBytes()
	}
	for _, set := range r.Selected {
		work += len(set) * (s.heads[0].k.Dim + s.shape.V) * s.qHeads / len(r.Selected)
	}
	s.flops += 2 * int64(work)
	pool := s.pool
	if work < inlineWork {
		pool = nil
	}
	pool.Run(len(r.Selected), s.runSelected)
	u, at := s.outputOf(len(s.folds)-1, out), slices.Index(s.layers, layer)
	for h := range s.qHeads {
		kernel.Merge(s.states[h:h+1], 0, 1, &s.rules[at][h], u[h*s.shape.V:(h+1)*s.shape.V])
	}
	s.projectOutputs(layer, u, out)
	return true
}

// selected returns the sets of entries that the queries of a stored head read.
func (s *Store) selected(head int) [][]int32 {
	n := len(s.reading.Selected) / len(s.heads)
	return s.reading.Selected[head*n : (head+1)*n]
}

// union is how many entries of a head are read: those that several query heads select come from memory once.
func (s *Store) union(head int) int {
	sets := s.selected(head)
	if len(sets) == 1 {
		return len(sets[0])
	}
	n := 0
	for _, set := range sets {
		for _, i := range set {
			if !s.seen[i] {
				s.seen[i] = true
				n++
			}
		}
	}
	for _, set := range sets {
		for _, i := range set {
			s.seen[i] = false
		}
	}
	return n
}

// selectedPart computes the states of the query heads that share one set.
func (s *Store) selectedPart(worker, i int) {
	readers := len(s.reading.Selected)
	group := s.qHeads / readers
	e := &s.heads[i*len(s.heads)/readers]
	width := group * e.k.Dim
	s.bend(worker, i*group, group, e.pos)
	kernel.AttendSelected(s.q[i*width:(i+1)*width], &e.k, &e.v, s.reading.Selected[i], s.gathered[worker], s.scratch[worker], s.states[i*group:(i+1)*group])
}

// Attended appends to dst the token positions that a query head read in the last step.
func (s *Store) Attended(qHead int, dst []int32) []int32 {
	e := &s.heads[qHead*len(s.heads)/s.qHeads]
	if !s.selecting {
		return append(dst, e.pos...)
	}
	for _, i := range s.reading.Selected[qHead*len(s.reading.Selected)/s.qHeads] {
		dst = append(dst, e.pos[i])
	}
	return dst
}

// Selects says whether the last step read less than the store holds.
func (s *Store) Selects() bool { return s.selecting }
