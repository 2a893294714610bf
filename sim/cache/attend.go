package cache

import (
	"slices"

	"kvgauge/sim/kernel"
)

// inlineWork is the number of multiplications below which waking another thread costs more than it saves.
const inlineWork = 1 << 16

// attender is what a Store attends with: scratch memory made once, so that a step allocates nothing.
type attender struct {
	pool    *kernel.Pool
	rope    kernel.Rope
	longest int               // entries that a head may come to hold
	scratch []*kernel.Scratch // [worker]
	folds   []*projection     // of queries and outputs, in the order of the maps
	q       []float32         // [query head][channels of a stored K] the query that reads the rows, times the softmax scale
	states  []kernel.Partial  // [stored head][chunk][query head of the group]
	chunk   int               // entries in a chunk
	chunks  int               // room in states, per stored head
	used    []int             // [stored head] of them, in this step
	parts   []part            // what one step has to do
	run     func(worker, i int)
	shift   *kernel.KeyShift
	now     []kernel.Rule // of the layer that attends, where they bend logits
	token   int           // that attends
	shown   bool          // to a policy that looks at probabilities
}

// chunkOf returns how many entries one part of a step covers, given the multiplications of an entry. Where many
// query heads read one wide row, as those of a latent do, a whole kernel.Chunk of a short cache would leave
// the other threads idle. It depends on the shape alone, so that results do not depend on the threads.
func chunkOf(multiplications int) int {
	chunk := kernel.Chunk
	for chunk > 128 && chunk*multiplications > 1<<20 {
		chunk /= 2
	}
	return chunk
}

// part is one chunk of one stored head: entries lo to hi.
type part struct{ head, chunk, lo, hi int }

// cut appends the parts of entries lo to hi of a head, whose parts before are chunk in number, and returns
// their number.
func (s *Store) cut(head, chunk, lo, hi int) int {
	for ; lo < hi; lo += s.chunk {
		s.parts = append(s.parts, part{head, chunk, lo, min(lo+s.chunk, hi)})
		chunk++
	}
	return chunk
}

// prepare makes the scratch memory to append and to attend over heads of at most longest entries.
func (s *Store) prepare(longest int, pool *kernel.Pool, rope kernel.Rope) {
	s.pool, s.rope, s.longest = pool, rope, longest
	shape, width := s.before, s.before.K
	for _, m := range s.maps {
		after := m.Shape(shape)
		s.between = append(s.between, newRows(after))
		width = after.K
		if r, ok := m.(Rebuild); ok {
			s.rebuild, width = r, shape.K
			s.newRooms(pool.Threads(), shape.Heads/after.Heads, shape.K, after.K)
		}
		if f, ok := m.(Fold); ok {
			s.folds = append(s.folds, newProjection(f, s.qHeads, shape, after, width, pool))
		}
		shape = after
	}
	if s.rebuild == nil {
		width = s.heads[0].k.Dim
	}
	group := s.qHeads / len(s.heads)
	s.chunk = chunkOf(group * (width + s.shape.V))
	s.chunks = (longest + s.chunk - 1) / s.chunk
	if s.prompt != nil {
		s.chunks += len(s.prompt.Ends(0)) // each run starts a chunk, and so do the rows after them
		s.prompt.Prepare(pool.Threads(), group)
	}
	s.used = make([]int, len(s.heads))
	s.q = make([]float32, s.qHeads*width)
	s.states = make([]kernel.Partial, len(s.heads)*s.chunks*group)
	acc := make([]float32, len(s.states)*s.shape.V)
	for i := range s.states {
		s.states[i].Acc = acc[i*s.shape.V : (i+1)*s.shape.V]
	}
	s.parts = make([]part, 0, len(s.heads)*s.chunks)
	for range pool.Threads() {
		s.scratch = append(s.scratch, kernel.NewScratch(group, max(width, s.shape.K, s.shape.V)))
	}
	if s.ring != nil && s.ring.Roll {
		s.shift = &kernel.KeyShift{Rope: rope, Rows: s.ring.Sinks}
	}
	s.watch()
	s.openIndex()
	s.bind()
}

// bind makes the step's parts those of this store.
func (s *Store) bind() {
	s.run = s.attendPart
	switch {
	case s.prompt != nil:
		s.run = s.promptPart
	case s.rebuild != nil:
		s.run = s.rebuildPart
	}
	s.probabilities, s.runSelected = s.probabilitiesOf, s.selectedPart
	s.step.store = s
	s.reading.Keys = nil
	for h := range s.heads {
		s.reading.Keys = append(s.reading.Keys, &s.heads[h].k)
	}
}

// Attend computes softmax attention of the query token of a layer at position pos over all entries: q and
// out are [query heads][channels] as the trace has them. It allocates nothing.
func (s *Store) Attend(layer, pos int, q, out []float32) {
	for i := range s.folds {
		q = s.folds[i].queries(layer, pos, q)
		s.flops += s.folds[i].flops()
	}
	s.keepQuery(layer, pos, q)
	at := slices.Index(s.layers, layer)
	s.now, s.token, s.shown = nil, pos, s.logits != nil && s.shows(layer)
	for h := range s.qHeads {
		width := len(q) / s.qHeads
		scale := float32(s.rules[at][h].Scale)
		for i, x := range q[h*width : (h+1)*width] {
			s.q[h*width+i] = x * scale
		}
	}
	if s.bends[at] {
		s.now = s.rules[at]
	}
	copy(s.plain, s.q)
	s.transformQueries(s.q[:len(q)])
	s.enter(layer)
	if s.index != nil && s.attendSelected(layer, out) {
		return
	}
	s.parts = s.parts[:0]
	work := 0
	for h := range s.heads {
		n := len(s.heads[h].pos)
		chunks, rows := s.cutPrompt(h)
		s.used[h] = s.cut(h, chunks, rows, n)
		work += n * (s.heads[h].k.Dim + s.shape.V) * s.qHeads / len(s.heads)
		s.read += s.heads[h].bytes(s.shape)
	}
	if s.prompt != nil {
		s.read += s.prompt.Read(layer)
		s.flops += s.prompt.FLOPs()
	}
	s.flops += 2*int64(work) + s.rebuildFLOPs()
	if s.shift != nil {
		// Slots count 0, 1, ... n-1 with the query at n-1; entries after the sinks are contiguous with
		// the query already, so that only the sinks move.
		s.shift.Delta = float64(pos - (len(s.heads[0].pos) - 1))
	}
	pool := s.pool
	if work < inlineWork {
		pool = nil
	}
	pool.Run(len(s.parts), s.run)

	u := s.outputOf(len(s.folds)-1, out)
	group := s.qHeads / len(s.heads)
	for h := range s.qHeads {
		states := s.states[h/group*s.chunks*group:]
		largest, sum := kernel.Merge(states[:s.used[h/group]*group], h%group, group, &s.rules[at][h], u[h*s.shape.V:(h+1)*s.shape.V])
		if s.shown {
			s.largest[h], s.inverse[h] = largest, 1/sum
		}
	}
	if s.shown {
		pool.Run(s.qHeads, s.probabilities)
	}
	s.projectOutputs(layer, u, out)
}

// projectOutputs undoes the transform of values and the folds in what the heads of a layer read, u, and so fills out.
func (s *Store) projectOutputs(layer int, u, out []float32) {
	if s.codec.HadamardV != nil {
		s.codec.HadamardV.Inverse(u)
	}
	for i := len(s.folds) - 1; i >= 0; i-- {
		s.folds[i].outputs(layer, s.outputOf(i-1, out))
	}
}

// outputOf is the memory for what the heads read after fold i; before all folds it is the caller's.
func (s *Store) outputOf(i int, out []float32) []float32 {
	if i < 0 {
		return out
	}
	return s.folds[i].u
}

// bend makes a worker bend the logits of n query heads from the first on, for rows at some positions.
func (s *Store) bend(worker, first, n int, pos []int32) {
	if s.now == nil {
		s.scratch[worker].Bend(nil, nil, 0)
		return
	}
	s.scratch[worker].Bend(s.now[first:first+n], pos, s.token)
}

// attendPart computes the states of one chunk of one stored head, for all query heads that read it.
func (s *Store) attendPart(worker, i int) {
	p := s.parts[i]
	e := &s.heads[p.head]
	group := s.qHeads / len(s.heads)
	lo, hi := p.lo, p.hi
	at := (p.head*s.chunks + p.chunk) * group
	for g := range group {
		s.states[at+g].Logits = nil
		if s.shown {
			s.states[at+g].Logits = s.logits[p.head*group+g][lo:lo:hi]
		}
	}
	width := group * e.k.Dim
	s.bend(worker, p.head*group, group, e.pos[lo:hi])
	kernel.Attend(s.q[p.head*width:(p.head+1)*width], &e.k, &e.v, lo, hi, s.shift, s.scratch[worker], s.states[at:at+group])
}
