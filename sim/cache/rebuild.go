package cache

import "kvgauge/sim/kernel"

// rebuildBlock is how many entries are rebuilt at a time: with their rows and keys in float32 they stay in the
// second cache.
const rebuildBlock = 64

// rebuilder is what a Store whose last map is a Rebuild attends with besides.
type rebuilder struct {
	rebuild Rebuild
	rooms   []rebuildRoom // [worker]
}

// rebuildRoom is one worker's memory for the keys of a chunk.
type rebuildRoom struct {
	keys   []kernel.Rows // [KV head before the map, of one stored head] in f32
	values kernel.Rows
	rows   []float32   // [rebuildBlock][channels] stored rows
	key    [][]float32 // [KV head][rebuildBlock*dim]
}

// newRooms makes the memory for a stored head that stands for heads KV heads of dim channels, by rows of
// width channels.
func (r *rebuilder) newRooms(workers, heads, dim, width int) {
	for range workers {
		room := rebuildRoom{rows: make([]float32, rebuildBlock*width)}
		for range heads {
			room.keys = append(room.keys, kernel.NewRows(kernel.F32, dim, kernel.Chunk))
			room.key = append(room.key, make([]float32, rebuildBlock*dim))
		}
		r.rooms = append(r.rooms, room)
	}
}

// rebuildPart computes the states of one chunk of a stored head, whose keys it makes again first.
func (s *Store) rebuildPart(worker, i int) {
	p := s.parts[i]
	e, room := &s.heads[p.head], &s.rooms[worker]
	lo, hi := p.lo, p.hi
	for j := range room.keys {
		room.keys[j].Truncate(0)
	}
	for at := lo; at < hi; at += rebuildBlock {
		s.rebuildBlock(room, p.head, at, min(rebuildBlock, hi-at))
	}
	room.values = e.v.Slice(lo, hi)
	heads := len(room.keys)
	group := s.qHeads / len(s.heads) / heads
	width := group * room.keys[0].Dim
	for j := range room.keys {
		at := ((p.head*s.chunks+p.chunk)*heads + j) * group
		q := s.q[(p.head*heads+j)*width:][:width]
		s.bend(worker, (p.head*heads+j)*group, group, e.pos[lo:hi])
		kernel.Attend(q, &room.keys[j], &room.values, 0, hi-lo, nil, s.scratch[worker], s.states[at:at+group])
	}
}

// rebuildBlock appends the keys of n entries of a stored head, from entry lo on, to the room's.
func (s *Store) rebuildBlock(room *rebuildRoom, head, lo, n int) {
	e := &s.heads[head]
	for i := range n {
		e.k.Row(lo+i, room.rows[i*e.k.Dim:])
	}
	s.rebuild.Keys(head, e.pos[lo:lo+n], room.rows[:n*e.k.Dim], room.key)
	for j := range room.keys {
		appendRows(&room.keys[j], room.key[j], n)
	}
}

// rebuildFLOPs is what making the keys of all entries again takes.
func (s *Store) rebuildFLOPs() int64 {
	if s.rebuild == nil {
		return 0
	}
	keys := s.rooms[0].keys
	return 2 * int64(len(s.heads)*len(s.heads[0].pos)) * int64(s.shape.K) * int64(len(keys)*keys[0].Dim)
}
