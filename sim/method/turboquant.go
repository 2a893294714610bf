package method

import (
	"fmt"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "turboquant", Family: Quantisation,
		Summary: "keys rotated and coded by direction with a codebook of normal variables, values uniform per token, boundary layers f16",
		Reduces: "bits",
		Paper:   "Zandieh et al. 2025, arXiv:2504.19874, in the form that vLLM serves",
		Code:    "vllm-project/vllm turboquant/config.py, centroids.py, triton_turboquant_store.py, triton_turboquant_decode.py",
		Params: []Param{
			{Name: "preset", Kind: Choice, Default: "4bit_nc", Choices: []string{"k8v4", "4bit_nc", "k3v4_nc", "3bit_nc"}, Help: "bits of keys and values; k8 is E4M3; nc keeps the norm of keys"},
			{Name: "boundary", Kind: Int, Default: "2", Min: 0, Max: 1 << 10, Help: "first and last layers of the model that stay f16"},
		},
		New: newTurboQuant,
	})
}

// turboQuant stores keys and values in formats of their own.
//
// Differs: the norm correction of keys, which vLLM makes as it reads, is part of the stored norm. The second
// stage of the paper, a sketch of what the codes leave, is left out as vLLM leaves it out.
type turboQuant struct {
	keys, values int  // bits
	correct      bool // the norm
	boundary     int
}

var _ Method = turboQuant{}

func newTurboQuant(a Args) (Method, error) {
	m := map[string]turboQuant{
		"k8v4": {keys: 8, values: 4}, "4bit_nc": {4, 4, true, 0}, "k3v4_nc": {3, 4, true, 0}, "3bit_nc": {3, 3, true, 0},
	}[a["preset"]]
	m.boundary = a.Int("boundary")
	return m, nil
}

// codec is that of the layers between the boundaries. The slot of a token, key and value, is an even number of bytes.
func (m turboQuant) codec(c Cell) (cache.Codec, error) {
	values := kernel.Range(m.values)
	d := cache.Codec{V: kernel.Packed(values)}
	keys := kernel.FP8(false, kernel.NoScale)
	if m.keys != 8 {
		if err := powerOfTwo(c); err != nil {
			return d, err
		}
		keys = kernel.Codebook(m.keys, c.Dim, m.correct)
		d.TurnK = &kernel.Hadamard{Block: c.Dim}
	}
	keys.Pad = (keys.RowBytes(c.Dim) + values.RowBytes(c.VDim)) % 2
	d.K = kernel.Packed(keys)
	return d, nil
}

// Fit refuses a model that has no layer between the boundaries.
func (m turboQuant) Fit(c Cell) (Cell, error) {
	if 2*m.boundary >= c.NumLayers {
		return c, fmt.Errorf("the first and the last %d of %d layers stay f16, which leaves none: choose boundary", m.boundary, c.NumLayers)
	}
	return c, fits(m.codec, c)
}

// Decide leaves the boundary layers alone; layers that share a cache with one are boundary layers too.
func (m turboQuant) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	if slices.Min(v.Layers) < m.boundary || slices.Max(v.Layers) >= c.NumLayers-m.boundary {
		return cache.Decision{}, nil
	}
	return codec(m.codec).Decide(c, v)
}
