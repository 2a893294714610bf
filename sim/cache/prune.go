package cache

import "kvgauge/sim/kernel"

// Prune is the PromptStorage of keys that lack channels: all but the last Recent rows of a head keep some of their
// channels, and queries read them with the same ones. Values keep all.
type Prune struct {
	Channels [][]int32 // [stored head] channels that stay, ascending, as many in every head
	Recent   int
}

var _ PromptStorage = Prune{}

// Encode gathers the channels that stay of each key, and encodes them and the values.
func (p Prune) Encode(v *View, c Codec) (StoredPrompt, bool) {
	s := &prunedPrompt{Prune: p, dim: v.Dim}
	width, finite := len(p.Channels[0]), true
	row := make([]float32, width)
	for h := range v.K {
		n := max(0, v.Rows(h)-p.Recent)
		k, val := c.K.Rows(width, n), c.V.Rows(v.VDim, n)
		for i := range n {
			gatherChannels(row, v.K[h][i*v.Dim:(i+1)*v.Dim], p.Channels[h])
			finite = k.Append(row) && finite
			finite = val.Append(v.V[h][i*v.VDim:(i+1)*v.VDim]) && finite
		}
		s.k, s.v, s.pos, s.ends = append(s.k, k), append(s.v, val), append(s.pos, v.Pos[h][:n]), append(s.ends, []int{n})
	}
	return s, finite
}

// gatherChannels copies channels of a row.
func gatherChannels(dst, row []float32, channels []int32) {
	for i, c := range channels {
		dst[i] = row[c]
	}
}

// prunedPrompt is what Prune makes.
type prunedPrompt struct {
	Prune
	dim  int           // channels of a query
	k, v []kernel.Rows // [stored head]
	pos  [][]int32     // [stored head][row]
	ends [][]int       // [stored head] the one run's
	q    [][]float32   // [worker][group*channels] of queries
}

var _ StoredPrompt = (*prunedPrompt)(nil)

// Pos is the rows but the recent ones.
func (p *prunedPrompt) Pos(head int) []int32 { return p.pos[head] }

// Ends is their number.
func (p *prunedPrompt) Ends(head int) []int { return p.ends[head] }

// Bytes is keys, values, scales and a bit a channel.
func (p *prunedPrompt) Bytes() int64 {
	n := p.mask()
	for h := range p.k {
		n += p.k[h].Bytes() + p.v[h].Bytes()
	}
	return n
}

// Metadata is scales and a bit a channel.
func (p *prunedPrompt) Metadata() int64 {
	n := p.mask()
	for h := range p.k {
		n += p.k[h].ScaleBytes() + p.v[h].ScaleBytes()
	}
	return n
}

// mask is the bytes that say which channels stay.
func (p *prunedPrompt) mask() int64 { return int64(len(p.k)) * int64((p.dim+7)/8) }

// Read is everything.
func (p *prunedPrompt) Read(int) int64 { return p.Bytes() }

// FLOPs is none.
func (p *prunedPrompt) FLOPs() int64 { return 0 }

// Prepare makes room for the queries' channels.
func (p *prunedPrompt) Prepare(workers, group int) {
	p.q = nil
	for range workers {
		p.q = append(p.q, make([]float32, group*len(p.Channels[0])))
	}
}

// Attend reads the narrow keys with the same channels of the queries.
func (p *prunedPrompt) Attend(worker, _, head, lo, hi int, q []float32, s *kernel.Scratch, out []kernel.Partial) {
	narrow, channels := p.q[worker], p.Channels[head]
	for g := range out {
		gatherChannels(narrow[g*len(channels):], q[g*p.dim:(g+1)*p.dim], channels)
	}
	kernel.Attend(narrow, &p.k[head], &p.v[head], lo, hi, nil, s, out)
}

// Buffers is keys, values and the channels that stay.
func (p *prunedPrompt) Buffers(dst [][]byte) [][]byte {
	for h := range p.k {
		dst = append(p.v[h].Buffers(p.k[h].Buffers(dst)), kernel.Memory(p.Channels[h]))
	}
	return dst
}

// Clone copies the rows.
func (p *prunedPrompt) Clone() StoredPrompt {
	return &prunedPrompt{Prune: p.Prune, dim: p.dim, k: cloneRows(p.k), v: cloneRows(p.v), pos: p.pos, ends: p.ends, q: p.q}
}

// cloneRows copies rows into buffers of their own.
func cloneRows(rows []kernel.Rows) []kernel.Rows {
	var out []kernel.Rows
	for i := range rows {
		r := kernel.NewRows(rows[i].Format, rows[i].Dim, rows[i].Len())
		r.CopyFrom(&rows[i])
		out = append(out, r)
	}
	return out
}
