package method

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "turboquant", Family: Quantisation,
		Summary: "keys rotated and coded by direction with a codebook of normal variables, values uniform per token, boundary layers f16",
		Reduces: "bits",
		Paper:   "Zandieh et al. 2025, arXiv:2504.19874, in the form that vLLM serves; of qjl=on algorithm 2, and Zandieh et al. 2024, arXiv:2406.03482",
		Code:    "vllm-project/vllm turboquant/config.py, centroids.py, triton_turboquant_store.py, triton_turboquant_decode.py; of qjl=on amirzandieh/QJL models/llama3_utils_qjl.py (QJLSketch)",
		Params: []Param{
			{Name: "preset", Kind: Choice, Default: "4bit_nc", Choices: []string{"k8v4", "4bit_nc", "k3v4_nc", "3bit_nc"}, Help: "bits of keys and values; k8 is E4M3; nc keeps the norm of keys"},
			{Name: "boundary", Kind: Int, Default: "2", Min: 0, Max: 1 << 10, Help: "first and last layers of the model that stay f16"},
			{Name: "qjl", Kind: Choice, Default: "off", Choices: []string{"off", "on"}, Help: "one bit of a key's code is the sign of a random product with what the others leave: logits are right on average, and vary more; engines leave it out on purpose"},
		},
		Knob: "preset",
		Variants: []string{
			"boundary=1", "boundary=1,preset=3bit_nc", "preset=k3v4_nc", "preset=k8v4", "qjl=on", "boundary=1,qjl=on",
		},
		Combined: []string{
			"corm:recent=16,window=16+turboquant:boundary=1,preset=3bit_nc,qjl=on", "rkv:interval=16+turboquant:qjl=on",
		},
		Settings: turboQuantSettings,
		Rotation: func(a Args) (engineRotation, error) {
			return engineRotation{block: func(s side) (int, string) {
				if s.values || strings.HasPrefix(a["preset"], "k8") {
					return 0, ""
				}
				return wholeRow(s)
			}}, nil
		},
		Format: newTurboQuant,
	})
}

// turboQuant is quantisation by codebooks after a rotation (Zandieh et al. 2025): it stores keys and values in
// formats of their own.
//
// With sketch keys take the second stage of the paper, its TurboQuant_prod: codes of one bit less, without the
// correction of the norm, and a sketch of what they leave. The directions of the sketch come of the run's seed, the
// same in all layers and heads as in the paper, and are not charged.
//
// Differs: the norm correction of keys, which vLLM makes as it reads, is part of the stored norm. The QJL
// repository makes its directions orthogonal and keeps channels with outliers apart; here they are independent, as
// in the papers, and the rotation spreads outliers.
type turboQuant struct {
	keys, values int  // bits
	correct      bool // the norm
	boundary     int
	sketch       bool
}

// newTurboQuant leaves the boundary layers alone; layers that share a cache with one are boundary layers too. The slot of a
// token, key and value, is an even number of bytes.
func newTurboQuant(a Args) (format, error) {
	m := map[string]turboQuant{
		"k8v4":    {keys: 8, values: 4},
		"4bit_nc": {keys: 4, values: 4, correct: true}, "k3v4_nc": {keys: 3, values: 4, correct: true}, "3bit_nc": {keys: 3, values: 3, correct: true},
	}[a["preset"]]
	m.boundary, m.sketch = a.Int("boundary"), a["qjl"] == "on"
	if m.sketch && m.keys == 8 {
		return nil, errors.New("qjl=on: the keys of preset=k8v4 have no codebook to take a bit from: want 4bit_nc, k3v4_nc or 3bit_nc")
	}
	return m.code, nil
}

// turboQuantSettings are the presets, those with a codebook where keys are sketched.
func turboQuantSettings(a Args) []string {
	presets := []string{"3bit_nc", "k3v4_nc", "4bit_nc"}
	if a["qjl"] == "on" {
		return presets
	}
	return append(presets, "k8v4")
}

// code refuses a model that has no layer between the boundaries, and a sketch of what is not a key alone.
func (m turboQuant) code(c Cell, s side) (coding, error) {
	switch {
	case 2*m.boundary >= c.NumLayers:
		return coding{}, fmt.Errorf("the first and the last %d of %d layers stay f16, which leaves none: choose boundary", m.boundary, c.NumLayers)
	case m.sketch && c.Latent:
		return coding{}, errors.New("qjl=on makes up for coarser codes in logits alone, but a latent row is values too: want qjl=off")
	case s.makers != nil && (slices.Min(s.makers) < m.boundary || slices.Max(s.makers) >= c.NumLayers-m.boundary):
		return coding{left: true}, nil
	case s.values:
		return coding{layout: kernel.Blockwise(kernel.Range(m.values))}, nil
	}
	keys := kernel.FP8(false, kernel.NoScale)
	switch {
	case m.sketch:
		keys = kernel.Sketched(m.keys, c.Dim, stream(c.Seed, 0, 0, 0))
	case m.keys != 8:
		keys = kernel.Codebook(m.keys, c.Dim, m.correct)
	}
	if !s.alone {
		keys.Pad = (keys.RowBytes(c.Dim) + kernel.Range(m.values).RowBytes(c.VDim)) % 2
	}
	return coding{layout: kernel.Blockwise(keys)}, nil
}
