package cache

import (
	"cmp"
	"slices"
)

// View shows a Policy the store as it stands: the entries of each head in the order of their positions,
// decoded, and the queries that the store keeps. It allocates: a policy asks for it where it
// re-decides.
func (s *Step) View() *View {
	st := s.store
	v := &View{
		Layers: st.layers, Dim: st.shape.K, VDim: st.shape.V, Latent: st.shape.Latent,
		Readers: len(st.layers) - st.voters, Rules: st.rules, Rope: st.rope,
	}
	s.order = s.order[:0]
	for h := range st.heads {
		e := &st.heads[h]
		order := make([]int32, len(e.pos))
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(e.pos[a], e.pos[b]) })
		s.order = append(s.order, order)
		pos, k, val := make([]int32, len(order)), make([]float32, len(order)*v.Dim), make([]float32, len(order)*v.VDim)
		for i, at := range order {
			pos[i] = e.pos[at]
			e.k.Row(int(at), k[i*v.Dim:])
			e.v.Row(int(at), val[i*v.VDim:])
		}
		st.inverseRows(k, val)
		v.Pos, v.K, v.V = append(v.Pos, pos), append(v.K, k), append(v.V, val)
		st.read += e.k.Bytes()
	}
	n := min(st.queryWindow, s.Token)
	v.FirstQuery = s.Token - n
	for l := range st.voters {
		heads := make([][]float32, st.qHeads)
		for h := range heads {
			heads[h] = make([]float32, n*v.Dim)
			for i := range n {
				st.queries[l*st.qHeads+h].Row((v.FirstQuery+i)%st.queryWindow, heads[h][i*v.Dim:])
			}
		}
		v.Q = append(v.Q, heads)
	}
	st.read += st.queryBytes()
	return v
}

// Keep evicts all entries but those that rows of the step's View name, [stored head] ascending; nil keeps all.
func (s *Step) Keep(rows [][]int32) {
	for h, keep := range rows {
		drop := s.Heads[h].Evict
		for row, at := range s.order[h] {
			if len(keep) > 0 && int(keep[0]) == row {
				keep = keep[1:]
				continue
			}
			drop = append(drop, at)
		}
		slices.Sort(drop)
		s.Heads[h].Evict = drop
	}
}

// keepQueries keeps the last queries of a prompt.
func (s *Store) keepQueries(v *View) {
	for i := range s.queries {
		q := v.Q[i/s.qHeads][i%s.qHeads]
		for t := max(v.FirstQuery, v.Tokens()-s.queryWindow); t < v.Tokens(); t++ {
			at := (t - v.FirstQuery) * v.Dim
			s.queries[i].Set(t%s.queryWindow, q[at:at+v.Dim])
		}
	}
}

// keepQuery keeps the queries, [query head][channels], of the token at position pos.
func (s *Store) keepQuery(layer, pos int, q []float32) {
	if s.queryWindow == 0 || !s.shows(layer) {
		return
	}
	l := slices.Index(s.layers, layer)
	for h := range s.qHeads {
		s.queries[l*s.qHeads+h].Set(pos%s.queryWindow, q[h*s.shape.K:(h+1)*s.shape.K])
	}
}

// queryBytes is what the kept queries take.
func (s *Store) queryBytes() int64 {
	var n int64
	for i := range s.queries {
		n += s.queries[i].Bytes()
	}
	return n
}
