package method

import (
	"cmp"
	"fmt"
	"strconv"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "lowrank", Family: Latent,
		Summary: "keys and values each in a basis of lower rank: of a group of heads, or of all heads of a group of layers",
		Reduces: "rank",
		Paper:   "Chang et al. 2024 (Palu), arXiv:2407.21118, section 3; Chang et al. 2025 (xKV), arXiv:2503.18893, section 3",
		Code:    "shadowpa0327/Palu; abdelfattah-lab/xKV",
		Params: []Param{
			{Name: "kind", Kind: Choice, Default: "palu", Choices: []string{"palu", "xkv"}, Help: "palu: groups of heads, every token; xkv: groups of layers, the prompt, with a basis of its own"},
			{Name: "rope", Kind: Choice, Default: "pre", Choices: []string{"pre", "post"}, Help: "palu: keys in the latent before the rotary embedding and rebuilt at each step, or as cached and absorbed"},
			{Name: "heads", Default: "4", Min: 1, Max: 1 << 16, Help: "palu: KV heads of a group, at most; their largest divisor is taken"},
			{Name: "layers", Default: "2", Min: 1, Max: 1 << 16, Help: "xkv: consecutive layers of a group; where they do not divide the model's the first group is short"},
			{Name: "k_rank", Min: 1, Max: 1 << 20, Auto: "palu: 0.7 of the group's channels in steps of 32; xkv: an eighth", Help: "channels of a latent key"},
			{Name: "v_rank", Min: 1, Max: 1 << 20, Auto: "palu: as k_rank; xkv: three times k_rank; at most the group's channels", Help: "channels of a latent value"},
		},
		Knob:     "k_rank",
		Variants: []string{"rope=post", "kind=xkv", "kind=xkv,layers=3", "v_rank=5"},
		Combined: []string{"mqa+lowrank"},
		New:      newLowRank,
	})
}

// ranks are the channels of latent keys and values; 0 is by default.
type ranks struct{ k, v int }

// of resolves the defaults k and v. Where the key rank alone is given the value rank is in their proportion, up
// to the channels of the group's values.
func (r ranks) of(k, v, vWidth int) ranks {
	k, v = max(1, k), max(1, v)
	switch {
	case r.v == 0 && r.k == 0:
		r.v = v
	case r.v == 0:
		r.v = min(max(1, r.k*v/k), vWidth)
	}
	if r.k == 0 {
		r.k = k
	}
	return r
}

// acceptedRanks are the key ranks up to a width that a method accepts.
func acceptedRanks(width int, accepts func(k int) error) []string {
	var ranks []string
	for k := 1; k <= width; k++ {
		if accepts(k) == nil {
			ranks = append(ranks, strconv.Itoa(k))
		}
	}
	return ranks
}

// beyond is the error of a rank that is wider than what it stands for.
func (r ranks) beyond(width, vWidth int) error {
	if r.k > width || r.v > vWidth {
		return fmt.Errorf("k_rank=%d and v_rank=%d: a group has only %d channels of keys and %d of values", r.k, r.v, width, vWidth)
	}
	return nil
}

func newLowRank(a Args) (Method, error) {
	r := ranks{a.Int("k_rank"), a.Int("v_rank")}
	if a["kind"] == "xkv" {
		switch {
		case a["rope"] != "pre":
			return nil, fmt.Errorf("rope=%s: only kind=palu stores keys as they are cached", a["rope"])
		case a["heads"] != "4":
			return nil, fmt.Errorf("heads=%s: only kind=palu makes groups of heads", a["heads"])
		}
		return xkv{ranks: r, layers: a.Int("layers")}, nil
	}
	if a["layers"] != "2" {
		return nil, fmt.Errorf("layers=%s: only kind=xkv makes groups of layers", a["layers"])
	}
	return palu{ranks: r, heads: a.Int("heads"), post: a["rope"] == "post"}, nil
}

// palu is lowrank:kind=palu, low-rank projection by groups of heads (Chang et al. 2024): for each group of KV heads a
// basis of keys and one of values, those that hold most of the energy of the group's rows, not centred. On
// activations that is what the published decomposition of whitened projection weights comes to. Values are absorbed
// into the output; keys go into the latent before the rotary embedding and are rebuilt at every step.
//
// Differs: the published ranks vary over layers by Fisher information, which needs gradients; here all layers
// have the same. rope=post absorbs the keys too, which the paper leaves out.
type palu struct {
	ranks
	heads int // of a group, at most
	post  bool
}

var (
	_ fitter = palu{}
	_ tuner  = palu{}
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
	err := r.beyond(k, v)
	if err == nil && !m.post && !c.HasRope {
		err = fmt.Errorf("rope=pre %w", errRope)
	}
	switch err = cmp.Or(err, notLatent(c)); {
	case err != nil:
		return c, err
	case r.k+r.v >= k+v && r != ranks{k, v}:
		return c, fmt.Errorf("%d stored values per token and group are not fewer than %d", r.k+r.v, k+v)
	}
	c.Heads, c.Dim, c.VDim, c.Folded, c.HasRope, c.Rebuilt = c.Heads/g, r.k, r.v, true, false, !m.post
	return c, nil
}

// settings are the key ranks that Fit accepts.
func (m palu) settings(c Cell) []string {
	return acceptedRanks(m.group(c.Heads)*c.Dim, func(k int) error {
		m.k = k
		_, err := m.Fit(c)
		return err
	})
}

// Decide is not called: the bases are always fitted.
func (m palu) Decide(c Cell, v *cache.View) (cache.Decision, error) { return m.fitMap(c, v) }

// size is that of the shape.
func (palu) size(Cell, []int, *cache.Size) error { return nil }

// fits says that the bases are fitted.
func (palu) fits() bool { return true }

// fitMap fits the bases.
func (m palu) fitMap(_ Cell, on *cache.View) (cache.Decision, error) {
	g := m.group(on.Heads())
	r := m.of(paluRank(g*on.Dim), paluRank(g*on.VDim), g*on.VDim)
	keys := on.K
	if !m.post {
		keys = unrotated(on)
	}
	code := &groupCode{
		key:   coder{rank: r.k, side: make([]float32, g*on.Dim)},
		value: coder{rank: r.v, side: make([]float32, g*on.VDim)},
		size:  g,
	}
	var up, value []cache.Matrix
	for at := 0; at < on.Heads(); at += g {
		up = append(up, code.key.add(keys[at:at+g], on.Dim)...)
		value = append(value, code.value.add(on.V[at:at+g], on.VDim)...)
	}
	d := cache.Decision{Weights: 2 * int64(on.Heads()) * int64(r.k*on.Dim+r.v*on.VDim)}
	if m.post {
		var key []cache.Matrix
		for _, u := range up {
			key = append(key, transposed(u))
		}
		d.Map = absorbed(code, on, key, value)
	} else {
		code.rope = on.Rope
		d.Map = paluRebuilt{code, newUpProjection(on, g, up, value)}
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
	rope       kernel.Rope // that is taken back from keys first; zero leaves them
}

// coder encodes the keys, or the values, of each group.
type coder struct {
	rank int
	down []cache.Matrix // [group], [rank][size*dim]
	side []float32      // scratch: a group's rows side by side
}

// add fits a further group on its heads' rows, and returns by head the matrices [dim][rank] that make rows again.
func (c *coder) add(heads [][]float32, dim int) []cache.Matrix {
	u := principal(sideBySide(heads, dim, 1), c.rank)
	c.down = append(c.down, zeroPadded(u.T(), c.rank, len(c.side)))
	var up []cache.Matrix
	for j := range heads {
		_, cols := u.Dims()
		up = append(up, zeroPadded(u.Slice(j*dim, (j+1)*dim, 0, cols), dim, c.rank))
	}
	return up
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
	upProjection
}

var _ cache.Rebuild = paluRebuilt{}

// Buffers is the matrices that encode and those that make rows again.
func (m paluRebuilt) Buffers(dst [][]byte) [][]byte { return m.buffers(m.groupCode.Buffers(dst)) }
