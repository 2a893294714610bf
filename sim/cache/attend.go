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
	q       []float32         // [query head][dim] the query times the softmax scale
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
	for _, m := range s.maps {
		s.between = append(s.between, newPair(m.Heads(), s.dim))
	}
	group := s.qHeads / len(s.heads)
	s.pool, s.rope, s.longest = pool, rope, longest
	s.chunks = (longest + kernel.Chunk - 1) / kernel.Chunk
	s.q = make([]float32, s.qHeads*s.dim)
	s.states = make([]kernel.Partial, len(s.heads)*s.chunks*group)
	acc := make([]float32, len(s.states)*s.dim)
	for i := range s.states {
		s.states[i].Acc = acc[i*s.dim : (i+1)*s.dim]
	}
	s.parts = make([]part, 0, len(s.heads)*s.chunks)
	for range pool.Threads() {
		s.scratch = append(s.scratch, kernel.NewScratch(group, s.dim))
	}
	s.run = s.attendPart
	if s.ring != nil && s.ring.Roll {
		s.turn = &kernel.Turn{Rope: rope, Rows: s.ring.Sinks}
	}
}

// Attend computes softmax attention of the query token at position pos over all entries: q and out are
// [query heads][dim]. It allocates nothing.
func (s *Store) Attend(pos int, q, out []float32) {
	for i, x := range q {
		s.q[i] = x * s.scale
	}
	s.parts = s.parts[:0]
	work := 0
	for h := range s.heads {
		n := len(s.heads[h].pos)
		for c := 0; c*kernel.Chunk < n; c++ {
			s.parts = append(s.parts, part{h, c})
		}
		work += 2 * n * s.dim * s.qHeads / len(s.heads)
		s.read += int64(n) * s.rowBytes()
	}
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

	group := s.qHeads / len(s.heads)
	for h := range s.qHeads {
		states := s.states[h/group*s.chunks*group:]
		n := (len(s.heads[h/group].pos) + kernel.Chunk - 1) / kernel.Chunk
		kernel.Merge(states[:n*group], h%group, group, out[h*s.dim:(h+1)*s.dim])
	}
}

// attendPart computes the states of one chunk of one stored head, for all query heads that read it.
func (s *Store) attendPart(worker, i int) {
	p := s.parts[i]
	e := &s.heads[p.head]
	group := s.qHeads / len(s.heads)
	lo := p.chunk * kernel.Chunk
	hi := min(lo+kernel.Chunk, len(e.pos))
	at := (p.head*s.chunks + p.chunk) * group
	kernel.Attend(s.q[p.head*group*s.dim:(p.head+1)*group*s.dim], &e.k, &e.v, lo, hi, s.turn, s.scratch[worker],
		s.states[at:at+group])
}
