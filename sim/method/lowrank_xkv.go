package method

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/cache"
)

// xkv is lowrank:kind=xkv, a singular value decomposition across layers (Chang et al. 2025): the singular vectors of
// the prompt's own keys before the rotary embedding, all heads of all layers of a group side by side, and those of
// its values. The bases belong to the sequence and are charged to the cache; decoded rows are stored as they come.
//
// Differs: the default ranks are those of the code's defaults for two layers of 8 heads of 128, 256 and 768 of
// 2,048 channels, as shares of the group's channels. Its README takes groups of four layers with 512 and 768.
type xkv struct {
	ranks
	layers int
}

var (
	_ grouper = xkv{}
	_ tuner   = xkv{}
)

// groups are those of consecutive layers, as layers that share a cache make them.
func (m xkv) groups(layers []int, numLayers int) ([][]int, error) {
	return cla{factor: m.layers, pattern: "uniform"}.groups(layers, numLayers)
}

// sizes resolves the ranks for a group.
func (m xkv) sizes(layers int, s cache.Shape) (r ranks, k, v int) {
	k, v = layers*s.Heads*s.K, layers*s.Heads*s.V
	return m.of(k/8, 3*v/8, v), k, v
}

// Fit refuses a cell with part of a group, and latents that with their bases save nothing, but for full rank,
// which is exact.
func (m xkv) Fit(c Cell) (Cell, error) {
	groups, err := m.groups(c.Layers, c.NumLayers)
	if err != nil {
		return c, err
	}
	if err := ownRotation(c); err != nil {
		return c, fmt.Errorf("kind=xkv %w", err)
	}
	var stored, plain int
	full := true
	for _, g := range groups {
		r, k, v := m.sizes(len(g), cache.Shape{Heads: c.Heads, K: c.Dim, V: c.VDim})
		if err := r.beyond(k, v); err != nil {
			return c, err
		}
		full = full && r == ranks{k, v}
		stored += r.k*(c.Prompt()+k) + r.v*(c.Prompt()+v)
		plain += (k + v) * c.Prompt()
	}
	if stored >= plain && !full {
		return c, fmt.Errorf("latent rows and bases of %d values are not fewer than the %d of the prompt", stored, plain)
	}
	c.Rebuilt, c.Packed = true, true
	return c, nil
}

func (xkv) packsPrompt() {}

// settings are the key ranks that Fit accepts, the full one apart: its bases make it larger than the cache
// without it.
func (m xkv) settings(c Cell) []string {
	return acceptedRanks(min(m.layers, len(c.Layers))*c.Heads*c.Dim-1, func(k int) error {
		m.k = k
		_, err := m.Fit(c)
		return err
	})
}

// Decide decomposes the prompt.
func (m xkv) Decide(_ Cell, v *cache.View) (cache.Decision, error) {
	r, _, _ := m.sizes(len(v.Makers()), v.Shape())
	joint := cache.Joint{Rope: v.Rope}
	heads, values := unrotated(v), v.V
	for _, p := range v.Peers {
		peer := *v
		peer.K = p.K
		heads, values = append(heads, unrotated(&peer)...), append(values[:len(values):len(values)], p.V...)
	}
	joint.K = decomposed(heads, v.Dim, r.k, v.Heads())
	joint.V = decomposed(values, v.VDim, r.v, v.Heads())
	return cache.Decision{Prompt: joint}, nil
}

// size is that of latent rows and their bases.
func (m xkv) size(c Cell, layers []int, s *cache.Size) error {
	r, _, _ := m.sizes(len(layers), s.Shape)
	s.Prompt = cache.JointSize{K: r.k, V: r.v}
	return nil
}

// decomposed is the latent rows of heads side by side, of a rank that the rows can have, and their basis by
// layer.
func decomposed(heads [][]float32, dim, rank, perLayer int) cache.Basis {
	x := sideBySide(heads, dim, 1)
	u := principal(x, rank)
	var c mat.Dense
	c.Mul(x, u)
	b := cache.Basis{Rows: matrix(&c).Data}
	_, cols := u.Dims()
	for at := 0; at < len(heads); at += perLayer {
		var up []cache.Matrix
		for j := at; j < at+perLayer; j++ {
			up = append(up, matrix(u.Slice(j*dim, (j+1)*dim, 0, cols)))
		}
		b.Up = append(b.Up, up)
	}
	return b
}
