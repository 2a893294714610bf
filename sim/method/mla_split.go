package method

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/spectral"
)

// splitRope is the map of rope=decoupled and rope=partial. Some dimensions of the keys keep the rotary
// embedding and are stored beside the latent; on all others it is removed from keys and queries, which
// loses their relative position, and they go into the latent with the values.
//
// Keys stand slot by slot, [slots*dim]. With a mixing the heads are first rotated into each other, pair by
// pair (TransMLA's RoRoPE), so that slot 0 holds most of the energy; otherwise a slot is a head. Channels
// are numbered slot*dim + dimension.
type splitRope struct {
	rope    kernel.Rope
	group   int
	heads   int
	dim     int
	mix     []*mat.Dense // [dimension] orthogonal [head][slot], nil without mixing
	roped   []int        // channels that keep the embedding
	rest    []int        // the others
	encoder latentRow    // of the rest and the values
	key     cache.Matrix // [rank][rest]
	value   []cache.Matrix

	room, restRoom []float32 // scratch: [heads*dim], [rest]
}

var _ cache.Fold = (*splitRope)(nil)

// newSplitRope fits the basis of the channels that lose the embedding, and of the values.
func newSplitRope(on *cache.View, roped []int, mix []*mat.Dense, rank int, balance float64) *splitRope {
	m := &splitRope{
		rope: on.Rope, group: on.Group(), heads: on.Heads(), dim: on.Dim, mix: mix, roped: roped,
	}
	for c := range m.heads * m.dim {
		if !slices.Contains(roped, c) {
			m.rest = append(m.rest, c)
		}
	}
	m.room, m.restRoom = make([]float32, m.heads*m.dim), make([]float32, len(m.rest))
	rows := on.Rows(0)
	keys := mat.NewDense(rows, len(m.rest), nil)
	plain, slots := unrotated(on), m.room
	k := make([][]float32, m.heads)
	for i := range rows {
		for j := range k {
			k[j] = plain[j][i*m.dim : (i+1)*m.dim]
		}
		m.slots(k, slots)
		for to, c := range m.rest {
			keys.Set(i, to, float64(slots[c]))
		}
	}
	b := newBasis(keys, sideBySide(on.V, on.VDim, 1), rank, balance)
	m.encoder, m.key = b.encoder(), b.key(0, b.keys)
	for j := range m.heads {
		m.value = append(m.value, b.value(j*on.VDim, (j+1)*on.VDim))
	}
	return m
}

// slots rotates the heads' rows into each other.
func (m *splitRope) slots(k [][]float32, dst []float32) {
	for s := range m.heads {
		for c := range m.dim {
			if m.mix == nil || m.mix[c] == nil {
				dst[s*m.dim+c] = k[s][c]
				continue
			}
			var sum float64
			for j := range k {
				sum += m.mix[c].At(j, s) * float64(k[j][c])
			}
			dst[s*m.dim+c] = float32(sum)
		}
	}
}

// weight is how much of dimension c of a head's query reads channel c of slot s.
func (m *splitRope) weight(head, s, c int) float32 {
	switch {
	case m.mix != nil && m.mix[c] != nil:
		return float32(m.mix[c].At(head, s))
	case head == s:
		return 1
	}
	return 0
}

// Shape is one row: the latent, which is the value, and after it the channels under the embedding.
func (m *splitRope) Shape(cache.Shape) cache.Shape {
	return cache.Shape{Heads: 1, K: m.key.Rows + len(m.roped), V: m.key.Rows, Latent: true}
}

// Row encodes.
func (m *splitRope) Row(pos int, k, v, dstK, _ [][]float32) {
	dst, slots := dstK[0], m.room
	m.slots(k, slots)
	for i, c := range m.roped {
		dst[m.key.Rows+i] = slots[c]
	}
	for s := range m.heads { // the rotation commutes with the mixing
		m.rope.Rotate(slots[s*m.dim:(s+1)*m.dim], -float64(pos))
	}
	for i, c := range m.rest {
		m.encoder.side[i] = slots[c]
	}
	m.encoder.encode(len(m.rest), v, dst)
}

// Query reads the channels under the embedding as it is, the rest without it and through the latent.
func (m *splitRope) Query(_, head, pos int, q, dst []float32) {
	j := head / m.group
	for i, c := range m.roped {
		dst[m.key.Rows+i] = m.weight(j, c/m.dim, c%m.dim) * q[c%m.dim]
	}
	plain := m.room[:m.dim]
	copy(plain, q)
	m.rope.Rotate(plain, -float64(pos))
	for i, c := range m.rest {
		m.restRoom[i] = m.weight(j, c/m.dim, c%m.dim) * plain[c%m.dim]
	}
	m.key.Mul(m.restRoom, dst[:m.key.Rows])
}

// Output multiplies by the head's part of the basis.
func (m *splitRope) Output(_, head int, u, dst []float32) { m.value[head/m.group].Mul(u, dst) }

// Buffers is all matrices.
func (m *splitRope) Buffers(dst [][]byte) [][]byte {
	for _, mix := range m.mix {
		if mix != nil {
			dst = append(dst, kernel.Memory(mix.RawMatrix().Data))
		}
	}
	return cache.MatrixBuffers(append(m.encoder.Buffers(dst), kernel.Memory(m.key.Data)), m.value...)
}

// partialDims returns the channels of MHA2MLA: in every head the same number of pairs, chosen by frequency
// (the first pairs rotate fastest) or, head by head, by the mean of |q_p| |k_p|.
func partialDims(on *cache.View, ropeDim int, choice string) []int {
	pairs, keep := len(on.Rope.InvFreq), ropeDim/2
	var dims []int
	for j := range on.Heads() {
		order := ranged(0, pairs)
		switch choice {
		case "low":
			slices.Reverse(order)
		case "uniform":
			for i := range keep {
				order[i] = i * pairs / keep
			}
		case "2-norm":
			norms := make([]float64, pairs)
			for p := range pairs {
				var q float64
				for h := j * on.Group(); h < (j+1)*on.Group(); h++ {
					q += meanPair(on, on.Q[0][h], p)
				}
				norms[p] = q * meanPair(on, on.K[j], p)
			}
			slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(norms[b], norms[a]) })
		}
		for _, p := range order[:keep] {
			re, im := on.Rope.Pair(p)
			dims = append(dims, j*on.Dim+re, j*on.Dim+im)
		}
	}
	slices.Sort(dims)
	return dims
}

// meanPair is the mean over rows of the norm of pair p.
func meanPair(on *cache.View, rows []float32, p int) float64 {
	re, im := on.Rope.Pair(p)
	var sum float64
	for i := 0; i < len(rows); i += on.Dim {
		sum += math.Hypot(float64(rows[i+re]), float64(rows[i+im]))
	}
	return sum / float64(len(rows)/on.Dim)
}

// mixing returns, for each frequency pair, the eigenvectors of the Gram matrix of its real and imaginary
// parts over heads, the strongest first: one orthogonal matrix for both parts, so that it commutes with the
// rotary embedding. Dimensions that are not rotated have none. [dimension][head][slot]
//
// Differs: neighbouring frequencies are not folded together and heads are not collapsed.
func mixing(on *cache.View) []*mat.Dense {
	g := on.Heads()
	mix := make([]*mat.Dense, on.Dim)
	for p := range on.Rope.InvFreq {
		re, im := on.Rope.Pair(p)
		gram := spectral.NewSymmetric(g)
		for a := range g {
			for b := a; b < g; b++ {
				var sum float64
				for i := 0; i < len(on.K[a]); i += on.Dim {
					sum += float64(on.K[a][i+re])*float64(on.K[b][i+re]) + float64(on.K[a][i+im])*float64(on.K[b][i+im])
				}
				gram.Upper(a)[b-a] = sum
			}
		}
		_, vectors, err := spectral.Leading(gram, g)
		u := mat.DenseCopyOf(orNaN(vectors, err, g, g)) // without the memory between rows, as its bytes are counted
		mix[re], mix[im] = u, u
	}
	return mix
}

// decoupledDims returns the channels of slot 0 that keep the embedding: the pairs with the largest energy of
// keys times that of queries.
func decoupledDims(on *cache.View, mix []*mat.Dense, ropeDim int) []int {
	pairs := ranged(0, len(on.Rope.InvFreq))
	energy := make([]float64, len(pairs))
	for p := range pairs {
		re, im := on.Rope.Pair(p)
		var keys, queries float64
		for _, c := range []int{re, im} {
			for i := 0; i < len(on.K[0]); i += on.Dim {
				var slot float64
				for j := range on.Heads() {
					slot += mix[c].At(j, 0) * float64(on.K[j][i+c])
				}
				keys += slot * slot
			}
			for _, q := range on.Q[0] {
				for i := 0; i < len(q); i += on.Dim {
					queries += float64(q[i+c]) * float64(q[i+c])
				}
			}
		}
		energy[p] = keys * queries
	}
	slices.SortStableFunc(pairs, func(a, b int) int { return cmp.Compare(energy[b], energy[a]) })
	var dims []int
	for _, p := range pairs[:ropeDim/2] {
		re, im := on.Rope.Pair(p)
		dims = append(dims, re, im)
	}
	slices.Sort(dims)
	return dims
}
