package cache

import "kvgauge/sim/kernel"

// View is what a pipeline stage may see of the prompt: the rows of one group of layers as the stages
// before it left them. It holds no token that is decoded later. Its slices may be shared: read only.
type View struct {
	Layers []int       // model's numbers of the layers that share the store, ascending; the first makes its rows
	Dim    int         // channels of a key, and of the query that reads it
	VDim   int         // channels of a value
	Latent bool        // a value is the first VDim channels of its key
	Pos    [][]int32   // [head][row] token position of each row, ascending
	K, V   [][]float32 // [head][rows*Dim], [head][rows*VDim]
	at     [][]int32   // [head][row] which row of K and V it is; nil: all are, in order. Only Build sees any
	// Readers is how many of Layers, the last, only read what the first makes, as the model itself has it: they have rules,
	// but no Peers, and no queries that anything is decided by.
	Readers int
	Peers   []Peer // what the other Layers would store if they did not share, until a map merges them
	Q       [][][]float32
	//     [layer of the group, without readers][query head][queries*Dim], those of tokens FirstQuery and later
	FirstQuery int
	Rules      [][]kernel.Rule // [layer of the group][query head]
	Rope       kernel.Rope
}

// Peer is the rows of a layer that does not make those of its group's store.
type Peer struct{ K, V [][]float32 }

// Makers are the layers that make rows, or would if they did not share.
func (v *View) Makers() []int { return v.Layers[:len(v.Layers)-v.Readers] }

// Heads is how many heads are stored.
func (v *View) Heads() int { return len(v.K) }

// Shape is that of one token's rows.
func (v *View) Shape() Shape {
	return Shape{Heads: len(v.K), K: v.Dim, V: v.VDim, Latent: v.Latent}
}

// QHeads is how many query heads read them; consecutive ones form a group.
func (v *View) QHeads() int { return len(v.Q[0]) }

// Group is how many query heads read one stored head.
func (v *View) Group() int { return v.QHeads() / v.Heads() }

// Rows is how many rows a head holds.
func (v *View) Rows(head int) int { return len(v.Pos[head]) }

// Queries is how many query rows the view holds.
func (v *View) Queries() int { return len(v.Q[0][0]) / v.Dim }

// Tokens is one more than the last prompt token: the prompt's length.
func (v *View) Tokens() int { return v.FirstQuery + v.Queries() }

// Apply returns the view as a decision leaves it, for the stage that follows.
func (v *View) Apply(d Decision) *View {
	w := v.Stored(d)
	w.gather()
	if f, ok := d.Map.(Fold); ok && !isRebuild(f) {
		w.Q = v.folded(f, w.Dim)
	}
	if d.Producer {
		w.Q = w.Q[:1]
	}
	return w
}

// Stored is what a store is built from: Apply without the queries, which stay as they are, and without a copy of the
// rows that are kept.
func (v *View) Stored(d Decision) *View {
	w := *v
	if d.Map != nil {
		w.applyMap(d.Map)
	}
	if d.Merge {
		w.Peers = nil
	}
	if d.Keep != nil {
		pos := make([][]int32, len(d.Keep))
		for h, rows := range d.Keep {
			pos[h] = make([]int32, len(rows))
			for i, r := range rows {
				pos[h][i] = w.Pos[h][r]
			}
		}
		w.Pos, w.at = pos, d.Keep
	}
	return &w
}

// applyMap replaces the rows of all heads by what the map makes of them. Maps come before eviction, so that
// all heads hold the same positions.
func (v *View) applyMap(m Map) {
	before := v.Shape()
	after := m.Shape(before)
	pos := v.Pos[0]
	peers := v.Peers
	v.Peers = nil
	for _, p := range peers {
		k, val := mapped(m, p.K, p.V, pos, before, after)
		v.Peers = append(v.Peers, Peer{k, val})
	}
	v.K, v.V = mapped(m, v.K, v.V, pos, before, after)
	v.Dim, v.VDim, v.Latent = after.K, after.V, after.Latent
	v.Pos = make([][]int32, after.Heads)
	for h := range v.Pos {
		v.Pos[h] = pos
	}
}

// mapped returns the rows k, v [head][rows*channels] as the map makes them.
func mapped(m Map, k, v [][]float32, pos []int32, before, after Shape) (mk, mv [][]float32) {
	for range after.Heads {
		mk = append(mk, make([]float32, len(pos)*after.K))
		mv = append(mv, make([]float32, len(pos)*after.V))
	}
	if l, ok := m.(Linear); ok {
		m = l.Encode
	}
	if b, ok := m.(BatchMap); ok {
		for lo := 0; lo < len(pos); lo += batchTokens {
			hi := min(lo+batchTokens, len(pos))
			b.Rows(pos[lo:hi], cutRows(k, before.K, lo, hi), cutRows(v, before.V, lo, hi), cutRows(mk, after.K, lo, hi), cutRows(mv, after.V, lo, hi))
		}
		if after.Latent {
			for i := range pos {
				copy(mv[0][i*after.V:(i+1)*after.V], mk[0][i*after.K:])
			}
		}
		return mk, mv
	}
	src, dst := rows{make([][]float32, before.Heads), make([][]float32, before.Heads)}, newRows(after)
	for i, p := range pos {
		for h := range before.Heads {
			src.k[h], src.v[h] = k[h][i*before.K:(i+1)*before.K], v[h][i*before.V:(i+1)*before.V]
		}
		m.Row(int(p), src.k, src.v, dst.k, dst.v)
		for h := range after.Heads {
			copy(mk[h][i*after.K:], dst.k[h])
			copy(mv[h][i*after.V:], dst.v[h])
		}
	}
	return mk, mv
}

// cutRows returns rows lo to hi of each head.
func cutRows(heads [][]float32, channels, lo, hi int) [][]float32 {
	cut := make([][]float32, len(heads))
	for h, rows := range heads {
		cut[h] = rows[lo*channels : hi*channels]
	}
	return cut
}

// isRebuild says whether queries stay as they are.
func isRebuild(m Fold) bool {
	_, ok := m.(Rebuild)
	return ok
}

// folded returns the queries that read rows of width channels in place of the view's.
func (v *View) folded(f Fold, width int) [][][]float32 {
	folded := make([][][]float32, len(v.Q))
	for i, heads := range v.Q {
		for h, q := range heads {
			dst := make([]float32, v.Queries()*width)
			for r := range v.Queries() {
				f.Query(v.Layers[i], h, v.FirstQuery+r, q[r*v.Dim:(r+1)*v.Dim], dst[r*width:(r+1)*width])
			}
			folded[i] = append(folded[i], dst)
		}
	}
	return folded
}

// gather copies the kept rows of each head, in every layer that has rows of its own.
func (v *View) gather() {
	if v.at == nil {
		return
	}
	v.K, v.V = keptRows(v.K, v.at, v.Dim), keptRows(v.V, v.at, v.VDim)
	peers := v.Peers
	v.Peers = nil
	for _, p := range peers {
		v.Peers = append(v.Peers, Peer{keptRows(p.K, v.at, v.Dim), keptRows(p.V, v.at, v.VDim)})
	}
	v.at = nil
}

// rowOf returns row i of a stored head.
func (v *View) rowOf(head, i int) (k, val []float32) {
	if v.at != nil {
		i = int(v.at[head][i])
	}
	return v.K[head][i*v.Dim : (i+1)*v.Dim], v.V[head][i*v.VDim : (i+1)*v.VDim]
}

// appendTo encodes the rows of a stored head, of its keys or values x [...][channels], and reports whether all stayed finite.
func (v *View) appendTo(dst *kernel.Rows, x []float32, head int) (finite bool) {
	if v.at == nil {
		return dst.AppendRows(x)
	}
	return dst.AppendRowsOf(x, v.at[head])
}

// keptRows copies the rows of each head that keep names.
func keptRows(heads [][]float32, keep [][]int32, dim int) [][]float32 {
	kept := make([][]float32, len(keep))
	for h, rows := range keep {
		kept[h] = make([]float32, 0, len(rows)*dim)
		for _, r := range rows {
			kept[h] = append(kept[h], heads[h][int(r)*dim:(int(r)+1)*dim]...)
		}
	}
	return kept
}
