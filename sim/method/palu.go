package method

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// palu is lowrank:kind=palu: for each group of KV heads a basis of keys and one of values, those that hold most
// of the energy of the group's rows, not centred. On activations that is what the published decomposition of
// whitened projection weights comes to. Values are absorbed into the output; keys go into the latent before
// the rotary embedding and are rebuilt at every step.
//
// Differs: the published ranks vary over layers by Fisher information, which needs gradients; here all layers
// have the same. rope=post absorbs the keys too, which the paper leaves out.
type palu struct {
	ranks
	heads int // of a group, at most
	post  bool
}

var (
	_ Method = palu{}
	_ Fitter = palu{}
	_ Tuner  = palu{}
)

// group is how many KV heads share a basis: the largest divisor that is not above the parameter.
func (m palu) group(heads int) int {
	g := min(m.heads, heads)
	for heads%g != 0 {
		g--
	}
	return g
}

// paluRank is 0.7 of a width in steps of 32; of a width that leaves nothing to save, 0.7 of it.
func paluRank(width int) int {
	if rank := (width*7/10 + 16) / 32 * 32; rank > 0 && rank < width {
		return rank
	}
	return width * 7 / 10
}

// Fit refuses latents that save nothing, but for full rank, which is exact.
func (m palu) Fit(c Cell) (Cell, error) {
	g := m.group(c.Heads)
	k, v := g*c.Dim, g*c.VDim
	r := m.of(paluRank(k), paluRank(v), v)
	switch err := r.beyond(k, v); {
	case err != nil:
		return c, err
	case !m.post && !c.HasRope:
		return c, fmt.Errorf("rope=pre %w", errRope)
	case c.Latent || c.Rebuilt:
		return c, fmt.Errorf("rows are latent already")
	case r.k+r.v >= k+v && r != ranks{k, v}:
		return c, fmt.Errorf("%d stored values per token and group are not fewer than %d", r.k+r.v, k+v)
	}
	c.Heads, c.Dim, c.VDim, c.Folded, c.HasRope, c.Rebuilt = c.Heads/g, r.k, r.v, true, false, !m.post
	return c, nil
}

// Settings are the key ranks that Fit accepts.
func (m palu) Settings(c Cell) []string {
	return acceptedRanks(m.group(c.Heads)*c.Dim, func(k int) error {
		m.k = k
		_, err := m.Fit(c)
		return err
	})
}

// Decide is not called: the bases are always fitted.
func (m palu) Decide(c Cell, v *cache.View) (cache.Decision, error) { return m.FitMap(c, v) }

// Fits says that the bases are fitted.
func (palu) Fits() bool { return true }

// FitMap fits the bases.
func (m palu) FitMap(_ Cell, on *cache.View) (cache.Decision, error) {
	g := m.group(on.Heads())
	r := m.of(paluRank(g*on.Dim), paluRank(g*on.VDim), g*on.VDim)
	keys := on.K
	if !m.post {
		keys = unrotated(on)
	}
	code := newGroupCode(on, r, g)
	var up, value []cache.Matrix
	for at := 0; at < on.Heads(); at += g {
		up = append(up, code.key.add(keys[at:at+g], on.Dim)...)
		value = append(value, code.value.add(on.V[at:at+g], on.VDim)...)
	}
	d := cache.Decision{Weights: 2 * int64(on.Heads()) * int64(r.k*on.Dim+r.v*on.VDim)}
	if m.post {
		fold := cache.Linear{Encode: code, Group: on.Group(), Key: map[int][]cache.Matrix{}, Value: map[int][]cache.Matrix{}}
		var key []cache.Matrix
		for _, u := range up {
			key = append(key, transposed(u))
		}
		for _, l := range on.Layers {
			fold.Key[l], fold.Value[l] = key, value
		}
		d.Map = fold
	} else {
		code.rope = on.Rope
		d.Map = &paluRebuilt{groupCode: code, turns: kernel.NewRopeTable(on.Rope), group: on.Group(), heads: g, dim: on.Dim, up: up, value: value}
	}
	if rank := max(r.k, r.v); on.Rows(0) < rank {
		d.Warnings = []cache.Warning{{
			Code: "underdetermined",
			Text: fmt.Sprintf("bases of rank %d were fitted on %d tokens: the rest of them is zero", rank, on.Rows(0)),
		}}
	}
	return d, nil
}

// groupCode is the Map of groups of heads to latent rows of keys and of values.
type groupCode struct {
	key, value coder
	size       int         // heads of a group
	rope       kernel.Rope // that keys are turned back by first; zero leaves them
}

var _ cache.Map = (*groupCode)(nil)

// coder encodes the keys, or the values, of each group.
type coder struct {
	rank int
	down []cache.Matrix // [group], [rank][size*dim]
	side []float32      // scratch: a group's rows side by side
}

// newGroupCode is without groups.
func newGroupCode(on *cache.View, r ranks, size int) *groupCode {
	return &groupCode{
		key:   coder{rank: r.k, side: make([]float32, size*on.Dim)},
		value: coder{rank: r.v, side: make([]float32, size*on.VDim)},
		size:  size,
	}
}

// add fits a further group on its heads' rows, and returns by head the matrices [dim][rank] that make rows again.
func (c *coder) add(heads [][]float32, dim int) []cache.Matrix {
	u := principal(sideBySide(heads, dim, 1), c.rank)
	c.down = append(c.down, padded(u.T(), c.rank, len(c.side)))
	var up []cache.Matrix
	for j := range heads {
		_, cols := u.Dims()
		up = append(up, padded(u.Slice(j*dim, (j+1)*dim, 0, cols), dim, c.rank))
	}
	return up
}

// padded rounds to float32 and fills with zeros.
func padded(a mat.Matrix, rows, cols int) cache.Matrix {
	m := cache.NewMatrix(rows, cols)
	n, width := a.Dims()
	for i := range n {
		for j := range width {
			m.Row(i)[j] = float32(a.At(i, j))
		}
	}
	return m
}

// Shape has a head for each group.
func (c *groupCode) Shape(before cache.Shape) cache.Shape {
	return cache.Shape{Heads: before.Heads / c.size, K: c.key.rank, V: c.value.rank}
}

// Row encodes.
func (c *groupCode) Row(pos int, k, v, dstK, dstV [][]float32) {
	for g := range dstK {
		at := 0
		for _, head := range k[g*c.size : (g+1)*c.size] {
			n := copy(c.key.side[at:], head)
			c.rope.Rotate(c.key.side[at:at+n], -float64(pos))
			at += n
		}
		c.key.down[g].Mul(c.key.side, dstK[g])
		at = 0
		for _, head := range v[g*c.size : (g+1)*c.size] {
			at += copy(c.value.side[at:], head)
		}
		c.value.down[g].Mul(c.value.side, dstV[g])
	}
}

var _ cache.BatchMap = (*groupCode)(nil)

// Rows encodes.
func (c *groupCode) Rows(pos []int32, k, v, dstK, dstV [][]float32) {
	keys, values := make([]float32, len(pos)*len(c.key.side)), make([]float32, len(pos)*len(c.value.side))
	dim := len(c.key.side) / c.size
	for g := range dstK {
		besides(keys, len(c.key.side), 0, k[g*c.size:(g+1)*c.size])
		for i, p := range pos {
			for j := range c.size {
				c.rope.Rotate(keys[i*len(c.key.side)+j*dim:][:dim], -float64(p))
			}
		}
		besides(values, len(c.value.side), 0, v[g*c.size:(g+1)*c.size])
		kernel.Multiply(keys, c.key.down[g].Data, len(c.key.side), dstK[g], c.key.rank)
		kernel.Multiply(values, c.value.down[g].Data, len(c.value.side), dstV[g], c.value.rank)
	}
}

// Buffers is the matrices that encode.
func (c *groupCode) Buffers(dst [][]byte) [][]byte {
	return cache.MatrixBuffers(cache.MatrixBuffers(dst, c.key.down...), c.value.down...)
}

// paluRebuilt is the map of rope=pre.
type paluRebuilt struct {
	*groupCode
	turns     *kernel.RopeTable
	group     int // query heads of a KV head
	heads     int // KV heads of a group
	dim       int
	up, value []cache.Matrix // [KV head]
}

var _ cache.Rebuild = (*paluRebuilt)(nil)

// Query leaves the query as it is: it reads rebuilt keys.
func (m *paluRebuilt) Query(_, _, _ int, q, dst []float32) { copy(dst, q) }

// Output multiplies by the head's part of the values' basis.
func (m *paluRebuilt) Output(_, head int, u, dst []float32) { m.value[head/m.group].Mul(u, dst) }

// Keys rebuilds the keys of a block of entries of a group.
func (m *paluRebuilt) Keys(head int, pos []int32, rows []float32, dst [][]float32) {
	for j := range m.heads {
		up := m.up[head*m.heads+j]
		kernel.Multiply(rows, up.Data, up.Cols, dst[j], m.dim)
	}
	m.turns.Rotate(pos, dst, m.dim)
}

// Buffers is the matrices that encode and those that make rows again.
func (m *paluRebuilt) Buffers(dst [][]byte) [][]byte {
	return cache.MatrixBuffers(cache.MatrixBuffers(m.groupCode.Buffers(dst), m.up...), m.value...)
}
