package cache

import (
	"slices"

	"kvgauge/sim/kernel"
)

// Joint is the PromptStorage of layers whose prompt rows are latent rows of one basis for the keys and one for the
// values of all of them. Every step makes the rows of its layer again, and rotates the keys.
type Joint struct {
	K, V Basis
	Rope kernel.Rope
}

// Basis is latent rows with the matrices that they are read by.
type Basis struct {
	Rows []float32  // [rows][rank]
	Up   [][]Matrix // [layer of the group][head], [dim][rank]
}

var _ PromptStorage = Joint{}

// rank is the channels of a latent row.
func (b Basis) rank() int { return b.Up[0][0].Cols }

// Encode encodes the latent rows by the codec, and the bases in f16: they belong to the sequence.
func (j Joint) Encode(v *View, c Codec) (StoredPrompt, bool) {
	s := &jointPrompt{layers: v.Makers(), pos: v.Pos[0], ends: []int{v.Rows(0)}, ropes: kernel.NewRopeTable(j.Rope), dim: v.Dim, vDim: v.VDim}
	var okK, okV bool
	s.k, okK = j.K.encode(c.K)
	s.v, okV = j.V.encode(c.V)
	return s, okK && okV
}

// encode encodes the rows and the matrices.
func (b Basis) encode(f kernel.Layout) (l latents, finite bool) {
	rank := b.rank()
	l.rows = f.Rows(rank, len(b.Rows)/rank)
	finite = true
	for at := 0; at < len(b.Rows); at += rank {
		finite = l.rows.Append(b.Rows[at:at+rank]) && finite
	}
	for _, heads := range b.Up {
		var up []kernel.Rows
		for _, m := range heads {
			r := kernel.NewRows(kernel.F16, rank, m.Rows)
			for i := range m.Rows {
				finite = r.Append(m.Row(i)) && finite
			}
			up = append(up, r)
		}
		l.up = append(l.up, up)
	}
	return l, finite
}

// latents is what Joint makes of the keys, or of the values.
type latents struct {
	rows kernel.Rows
	up   [][]kernel.Rows // [layer][head] of [dim] rows in f16
}

// basis is the bytes of a layer's matrices.
func (l *latents) basis(layer int) int64 {
	var n int64
	for h := range l.up[layer] {
		n += l.up[layer][h].Bytes()
	}
	return n
}

// meta is the bytes of all matrices, and of the scales of the rows.
func (l *latents) meta() int64 {
	n := l.rows.ScaleBytes()
	for layer := range l.up {
		n += l.basis(layer)
	}
	return n
}

// buffers is rows and matrices.
func (l *latents) buffers(dst [][]byte) [][]byte {
	dst = l.rows.Buffers(dst)
	for _, up := range l.up {
		for h := range up {
			dst = up[h].Buffers(dst)
		}
	}
	return dst
}

// clone has rows and matrices of its own.
func (l *latents) clone() latents {
	c := latents{rows: cloneRows([]kernel.Rows{l.rows})[0]}
	for _, up := range l.up {
		c.up = append(c.up, cloneRows(up))
	}
	return c
}

// jointPrompt is what Joint stores.
type jointPrompt struct {
	layers    []int
	k, v      latents
	pos       []int32
	ends      []int
	ropes     *kernel.RopeTable
	dim, vDim int

	rooms []jointRoom // [worker]
}

// jointRoom is the memory of one worker.
type jointRoom struct {
	k, v    kernel.Rows // at most kernel.Chunk rows, in f32
	latent  []float32   // [rebuildBlock][rank]
	row     [][]float32 // [1][rebuildBlock*dim]
	scratch *kernel.Scratch
}

var _ StoredPrompt = (*jointPrompt)(nil)

// Pos is the whole prompt: latents come before eviction.
func (j *jointPrompt) Pos(int) []int32 { return j.pos }

// Ends is one run.
func (j *jointPrompt) Ends(int) []int { return j.ends }

// Bytes is latent rows and bases, once for all layers and heads.
func (j *jointPrompt) Bytes() int64 {
	return j.k.rows.Bytes() - j.k.rows.ScaleBytes() + j.v.rows.Bytes() - j.v.rows.ScaleBytes() + j.Metadata()
}

// Metadata is the bases and scales.
func (j *jointPrompt) Metadata() int64 { return j.k.meta() + j.v.meta() }

// basis is the index of a layer's matrices: a reader of another's rows has the first's.
func (j *jointPrompt) basis(layer int) int { return max(0, slices.Index(j.layers, layer)) }

// Read is all latent rows and the layer's part of the bases.
func (j *jointPrompt) Read(layer int) int64 {
	l := j.basis(layer)
	return j.k.rows.Bytes() + j.v.rows.Bytes() + j.k.basis(l) + j.v.basis(l)
}

// FLOPs is that of the products of latent rows with a layer's part of the bases.
func (j *jointPrompt) FLOPs() int64 {
	return 2 * int64(len(j.pos)*len(j.k.up[0])) * int64(j.k.rows.Dim*j.dim+j.v.rows.Dim*j.vDim)
}

// Prepare makes room for the rows of a chunk.
func (j *jointPrompt) Prepare(workers, _ int) {
	rank, dim := max(j.k.rows.Dim, j.v.rows.Dim), max(j.dim, j.vDim)
	j.rooms = nil
	for range workers {
		j.rooms = append(j.rooms, jointRoom{
			k: kernel.NewRows(kernel.F32, j.dim, kernel.Chunk), v: kernel.NewRows(kernel.F32, j.vDim, kernel.Chunk),
			latent: make([]float32, rebuildBlock*rank), row: [][]float32{make([]float32, rebuildBlock*dim)},
			scratch: kernel.NewScratch(rebuildBlock, rank),
		})
	}
}

// Attend makes the rows of a head again and reads them.
func (j *jointPrompt) Attend(worker, layer, head, lo, hi int, q []float32, s *kernel.Scratch, out []kernel.Partial) {
	room, l := &j.rooms[worker], j.basis(layer)
	room.k.Truncate(0)
	room.v.Truncate(0)
	for at := lo; at < hi; at += rebuildBlock {
		n := min(rebuildBlock, hi-at)
		j.k.rebuild(room, l, head, at, n, j.dim)
		j.ropes.Rotate(j.pos[at:at+n], room.row, j.dim)
		appendRows(&room.k, room.row[0], n)
		j.v.rebuild(room, l, head, at, n, j.vDim)
		appendRows(&room.v, room.row[0], n)
	}
	kernel.Attend(q, &room.k, &room.v, 0, hi-lo, nil, s, out)
}

// rebuild writes n rows of a head from latent row lo on to the room's row, [n*dim].
func (l *latents) rebuild(room *jointRoom, layer, head, lo, n, dim int) {
	rank := l.rows.Dim
	for i := range n {
		l.rows.Row(lo+i, room.latent[i*rank:(i+1)*rank])
	}
	kernel.Scores(room.latent[:n*rank], &l.up[layer][head], 0, dim, room.scratch, room.row[0], dim)
}

// appendRows appends n rows.
func appendRows(to *kernel.Rows, rows []float32, n int) {
	for i := range n {
		to.Append(rows[i*to.Dim : (i+1)*to.Dim])
	}
}

// Buffers is the latent rows and the bases.
func (j *jointPrompt) Buffers(dst [][]byte) [][]byte { return j.v.buffers(j.k.buffers(dst)) }

// Clone copies the rows and the bases.
func (j *jointPrompt) Clone() StoredPrompt {
	c := *j
	c.k, c.v = j.k.clone(), j.v.clone()
	return &c
}
