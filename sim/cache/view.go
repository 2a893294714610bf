package cache

import "kvgauge/sim/kernel"

// View is what a pipeline stage may see of the prompt: the rows of one group of layers as the stages
// before it left them. It holds no token that is decoded later. Its slices may be shared: read only.
type View struct {
	Layers []int       // model's numbers of the layers that share the store, ascending
	Dim    int         // of a stored head
	Pos    [][]int32   // [head][row] token position of each row, ascending
	K, V   [][]float32 // [head][rows*Dim]
	Q      [][][]float32
	//     [layer of the group][query head][queries*Dim], those of tokens FirstQuery and later
	FirstQuery int
	Scale      float64 // of the logits
	Rope       kernel.Rope
}

// Heads is how many heads are stored.
func (v *View) Heads() int { return len(v.K) }

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
	w := *v
	if d.Map != nil {
		w.applyMap(d.Map)
	}
	if d.Keep != nil {
		w.applyKeep(d.Keep)
	}
	return &w
}

// applyMap replaces the rows of all heads by what the map makes of them. Maps come before eviction, so
// that all heads hold the same positions.
func (v *View) applyMap(m Map) {
	heads, rows, dim := m.Heads(), v.Rows(0), v.Dim
	k, v2 := make([][]float32, heads), make([][]float32, heads)
	pos := make([][]int32, heads)
	for h := range heads {
		k[h], v2[h], pos[h] = make([]float32, rows*dim), make([]float32, rows*dim), v.Pos[0]
	}
	src, dst := newPair(v.Heads(), dim), newPair(heads, dim)
	for i := range rows {
		for h := range v.Heads() {
			copy(src.k[h], v.K[h][i*dim:(i+1)*dim])
			copy(src.v[h], v.V[h][i*dim:(i+1)*dim])
		}
		m.Row(int(v.Pos[0][i]), src.k, src.v, dst.k, dst.v)
		for h := range heads {
			copy(k[h][i*dim:], dst.k[h])
			copy(v2[h][i*dim:], dst.v[h])
		}
	}
	v.K, v.V, v.Pos = k, v2, pos
}

// applyKeep copies the kept rows of each head.
func (v *View) applyKeep(keep [][]int32) {
	dim := v.Dim
	k, v2 := make([][]float32, len(keep)), make([][]float32, len(keep))
	pos := make([][]int32, len(keep))
	for h, rows := range keep {
		k[h] = make([]float32, 0, len(rows)*dim)
		v2[h] = make([]float32, 0, len(rows)*dim)
		pos[h] = make([]int32, 0, len(rows))
		for _, r := range rows {
			i := int(r)
			k[h] = append(k[h], v.K[h][i*dim:(i+1)*dim]...)
			v2[h] = append(v2[h], v.V[h][i*dim:(i+1)*dim]...)
			pos[h] = append(pos[h], v.Pos[h][i])
		}
	}
	v.K, v.V, v.Pos = k, v2, pos
}

// pair is the key and value rows of one token, [head][dim].
type pair struct{ k, v [][]float32 }

func newPair(heads, dim int) pair {
	p := pair{make([][]float32, heads), make([][]float32, heads)}
	buf := make([]float32, 2*heads*dim)
	for h := range heads {
		p.k[h], buf = buf[:dim:dim], buf[dim:]
		p.v[h], buf = buf[:dim:dim], buf[dim:]
	}
	return p
}
