package method

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "minicache", Family: Merging,
		Summary: "from the middle layer up, two layers share the direction of each key and value and keep its magnitudes",
		Reduces: "rows of two layers",
		Paper:   "Liu et al. 2024, arXiv:2405.14366, section 4",
		Code:    "Zefan-Cai/KVCache-Factory pyramidkv/minicache.py",
		Params: []Param{
			{Name: "start", Min: 0, Max: 1 << 16, Auto: "middle layer", Help: "first layer that may merge; where the layers from it on are odd in number it stays alone"},
			{Name: "t", Kind: Fraction, Default: "0.6", Help: "where the shared direction lies between the lower layer's (0) and the upper's (1)"},
			{Name: "retain", Kind: Share, Default: "5%", Help: "prompt rows of each head that stay unmerged in both layers, those with the largest angles"},
		},
		Knob:     "start",
		Variants: []string{"retain=0%", "retain=80%"},
		Combined: []string{"snapkv+minicache", "mqa+minicache:start=0"},
		New:      newMiniCache,
	})
}

// miniCache is depth-wise merging by spherical interpolation (Liu et al. 2024): it merges once, at the end of the
// prompt; decoded rows are stored by each layer. Keys and values choose the rows that stay apart.
//
// Differs: the repository's code stores the shared direction of every token, of retained ones too, and its
// runtime ports retain values where keys are retained; the paper retains tokens by a threshold on the angle,
// which the code has made a share. The magnitude of a token is clamped from below at 1e-6, as in the code.
type miniCache struct {
	start  int // negative: the middle
	t      float64
	retain float64 // share of the prompt
}

var (
	_ grouper = miniCache{}
	_ tuner   = miniCache{}
)

func newMiniCache(a Args) (Method, error) {
	m := miniCache{start: -1, t: a.Real("t"), retain: a.Share("retain")}
	if a.Given("start") {
		m.start = a.Int("start")
	}
	return m, nil
}

// first is the lowest layer that merges with the next of n layers.
func (m miniCache) first(n int) int {
	start := m.start
	if start < 0 {
		start = n / 2
	}
	return start + (n-start)%2
}

// groups makes pairs from the first layer up. A cell that holds half of a pair cannot be measured.
func (m miniCache) groups(layers []int, numLayers int) ([][]int, error) {
	var groups [][]int
	first := m.first(numLayers)
	for i := 0; i < len(layers); i++ {
		l := layers[i]
		if l < first {
			groups = append(groups, []int{l})
			continue
		}
		lower := l - (l-first)%2
		if l != lower || i+1 == len(layers) || layers[i+1] != l+1 {
			return nil, fmt.Errorf("layers %d and %d share directions; only %d is here", lower, lower+1, l)
		}
		groups = append(groups, layers[i:i+2])
		i++
	}
	return groups, nil
}

// Fit refuses a cell with half of a pair or with none, and rows that cannot be packed.
func (m miniCache) Fit(c Cell) (Cell, error) {
	groups, err := m.groups(c.Layers, c.NumLayers)
	switch {
	case err != nil:
		return c, err
	case !slices.ContainsFunc(groups, func(g []int) bool { return len(g) == 2 }):
		return c, fmt.Errorf("layers merge from %d up; none of them is here", m.first(c.NumLayers))
	}
	err = mergeable(c)
	c.Packed = true
	return c, err
}

// settings are the first layers of a pair that the cell holds no half of. With every pair that merges the cache
// is smaller, unless the rows that stay apart cost more than merging saves: in f16, of 4 bytes a channel that two
// layers take, 2 and a magnitude of 4 bytes for each row, and 4 and an index besides where it stays apart.
func (m miniCache) settings(c Cell) []string {
	var starts []string
	for start := c.NumLayers % 2; start < c.NumLayers; start += 2 {
		m.start = start
		if _, err := m.Fit(c); err == nil {
			starts = append(starts, strconv.Itoa(start))
		}
	}
	width, rows := c.Dim+c.VDim, c.Prompt()
	if rows*(2*width+8)+m.stay(rows)*(4*width+8) > rows*4*width {
		slices.Reverse(starts)
	}
	return starts
}

// Decide chooses, for a pair, the rows that stay apart.
func (m miniCache) Decide(_ Cell, v *cache.View) (cache.Decision, error) {
	if len(v.Layers) == 1 {
		return cache.Decision{}, nil
	}
	p := cache.Slerp{T: m.t}
	for h := range v.K {
		p.KeepK = append(p.KeepK, m.apart(v.K[h], v.Peers[0].K[h], v.Dim))
		p.KeepV = append(p.KeepV, m.apart(v.V[h], v.Peers[0].V[h], v.VDim))
	}
	d := cache.Decision{Prompt: p}
	if rows := v.Rows(0); m.stay(rows) >= rows {
		d.Warnings = nothingChanged("all %d rows of the prompt stay apart: no two are merged", rows)
	}
	return d, nil
}

// size is that of shared directions, and of the rows that stay apart.
func (m miniCache) size(_ Cell, layers []int, s *cache.Size) error {
	if len(layers) > 1 {
		s.Prompt = cache.SlerpSize{Kept: m.stay}
	}
	return nil
}

// apart returns the rows with the largest angles between the layers.
func (m miniCache) apart(lower, upper []float32, dim int) []int32 {
	angles := make([]float64, len(lower)/dim)
	for i := range angles {
		_, _, angles[i] = cache.Angle(lower[i*dim:(i+1)*dim], upper[i*dim:(i+1)*dim])
	}
	return topK(angles, m.stay(len(angles)))
}

// stay is how many of so many rows stay apart.
func (m miniCache) stay(rows int) int { return int(math.Ceil(m.retain*float64(rows) - 1e-9)) }
