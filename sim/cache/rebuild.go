package cache

import "kvgauge/sim/kernel"

// rebuilder is what a Store whose last map is a Rebuild attends with besides.
type rebuilder struct {
	rebuild Rebuild
	rooms   []rebuildRoom // [worker]
}

// rebuildRoom is one worker's memory for the keys of a chunk.
type rebuildRoom struct {
	keys []kernel.Rows // [KV head before the map] in f32
	row  []float32
	key  [][]float32 // [KV head before the map] of one entry
}

// newRooms makes the memory for keys of the shape before the map.
func (r *rebuilder) newRooms(workers int, before Shape, width int) {
	for range workers {
		room := rebuildRoom{row: make([]float32, width)}
		for range before.Heads {
			room.keys = append(room.keys, kernel.NewRows(kernel.F32, before.K, kernel.Chunk))
			room.key = append(room.key, make([]float32, before.K))
		}
		r.rooms = append(r.rooms, room)
	}
}

// rebuildPart computes the states of one chunk, whose keys it makes again first.
func (s *Store) rebuildPart(worker, i int) {
	p := s.parts[i]
	e, room := &s.heads[0], &s.rooms[worker]
	lo := p.chunk * s.chunk
	hi := min(lo+s.chunk, len(e.pos))
	for j := range room.keys {
		room.keys[j].Truncate(0)
	}
	for n := lo; n < hi; n++ {
		e.k.Row(n, room.row)
		s.rebuild.Keys(int(e.pos[n]), room.row, room.key)
		for j, key := range room.key {
			room.keys[j].Append(key)
		}
	}
	values := e.v.Slice(lo, hi)
	group := s.qHeads / len(room.keys)
	width := group * room.keys[0].Dim
	for j := range room.keys {
		at := p.chunk*s.qHeads + j*group
		kernel.Attend(s.q[j*width:(j+1)*width], &room.keys[j], &values, 0, hi-lo, nil, s.scratch[worker], s.states[at:at+group])
	}
}
