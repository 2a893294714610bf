package cache

import "kvgauge/sim/kernel"

// inlineWork is the number of multiplications below which waking another thread costs more than it saves.
const inlineWork = 1 << 16

// attender is what a Store attends with: scratch memory made once, so that a step allocates nothing.
type attender struct {
	pool    *kernel.Pool
	rope    kernel.Rope
	longest int               // entries that a head may come to hold
	scratch []*kernel.Scratch // [worker]
	folds   []turn            // of queries and outputs, in the order of the maps
	q       []float32         // [query head][stored K] the query that reads the rows, times the softmax scale
	states  []kernel.Partial  // [stored head][chunk][query head of the group]
	chunks  int               // room in states, per stored head
	parts   []part            // what one step has to do
	run     func(worker, i int)
	turn    *kernel.Turn
}

// part is one chunk of one stored head.
type part struct{ head, chunk int }

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
			s.newRooms(pool.Threads(), shape, after.K)
		}
		if f, ok := m.(Fold); ok {
			s.folds = append(s.folds, newTurn(f, s.qHeads, shape, after, width))
		}
		shape = after
	}
	group := s.qHeads / len(s.heads)
	s.chunks = (longest + kernel.Chunk - 1) / kernel.Chunk
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
		s.turn = &kernel.Turn{Rope: rope, Rows: s.ring.Sinks}
	}
	s.watch()
	s.openIndex()
	s.bind()
}

// bind makes the step's parts those of this store.
func (s *Store) bind() {
	s.run = s.attendPart
	if s.rebuild != nil {
		s.run = s.rebuildPart
	}
	s.soften, s.runPick = s.softenHead, s.attendPicks
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
	s.recall(layer, pos, q)
	for i, x := range q {
		s.q[i] = x * s.scale
	}
	copy(s.plain, s.q)
	s.turnQueries()
	if s.index != nil && s.attendSome(layer, out) {
		return
	}
	s.parts = s.parts[:0]
	work := 0
	for h := range s.heads {
		n := len(s.heads[h].pos)
		for c := 0; c*kernel.Chunk < n; c++ {
			s.parts = append(s.parts, part{h, c})
		}
		work += n * (s.shape.K + s.shape.V) * s.qHeads / len(s.heads)
		s.read += s.heads[h].bytes(s.shape)
	}
	s.flops += 2*int64(work) + s.rebuildFLOPs()
	if s.turn != nil {
		// Slots count 0, 1, ... n-1 with the query at n-1; entries after the sinks are contiguous with
		// the query already, so that only the sinks move.
		s.turn.Delta = float64(pos - (len(s.heads[0].pos) - 1))
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
		n := len(s.heads[h/group].pos)
		chunks := (n + kernel.Chunk - 1) / kernel.Chunk
		largest, sum := kernel.Merge(states[:chunks*group], h%group, group, u[h*s.shape.V:(h+1)*s.shape.V])
		if s.logits != nil {
			s.largest[h], s.inverse[h] = largest, 1/sum
		}
	}
	if s.logits != nil {
		pool.Run(s.qHeads, s.soften)
	}
	s.turnBack(u)
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

// attendPart computes the states of one chunk of one stored head, for all query heads that read it.
func (s *Store) attendPart(worker, i int) {
	p := s.parts[i]
	e := &s.heads[p.head]
	group := s.qHeads / len(s.heads)
	lo := p.chunk * kernel.Chunk
	hi := min(lo+kernel.Chunk, len(e.pos))
	at := (p.head*s.chunks + p.chunk) * group
	if s.logits != nil {
		for g := range group {
			s.states[at+g].Logits = s.logits[p.head*group+g][lo:lo:hi]
		}
	}
	width := group * s.shape.K
	kernel.Attend(s.q[p.head*width:(p.head+1)*width], &e.k, &e.v, lo, hi, s.turn, s.scratch[worker], s.states[at:at+group])
}

// turn is a Fold with the memory that it writes to.
type turn struct {
	fold      Fold
	before, k int       // channels of a query before and after
	outBefore int       // channels of a value before
	v         int       // and after
	q         []float32 // [query head][k] queries after
	u         []float32 // [query head][v] what they read
}

// newTurn makes it for queries that are width wide after the fold.
func newTurn(f Fold, qHeads int, before, after Shape, width int) turn {
	return turn{
		fold: f, before: before.K, k: width, v: after.V, outBefore: before.V,
		q: make([]float32, qHeads*width), u: make([]float32, qHeads*after.V),
	}
}

// flops is what turning the queries and outputs of all heads takes, as dense matrices.
func (t *turn) flops() int64 {
	return 2 * int64(len(t.q)/t.k) * int64(t.before*t.k+t.v*t.outBefore)
}

// queries turns the queries of all heads.
func (t *turn) queries(layer, pos int, q []float32) []float32 {
	for h := range len(t.q) / t.k {
		t.fold.Query(layer, h, pos, q[h*t.before:(h+1)*t.before], t.q[h*t.k:(h+1)*t.k])
	}
	return t.q
}

// outputs turns what all heads read, u, back into values before the map.
func (t *turn) outputs(layer int, dst []float32) {
	for h := range len(t.q) / t.k {
		t.fold.Output(layer, h, t.u[h*t.v:(h+1)*t.v], dst[h*t.outBefore:(h+1)*t.outBefore])
	}
}
