package method

import (
	"fmt"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "kvarn", Family: Quantisation,
		Summary: "tiles of tokens, rotated and brought to one spread along channels and tokens, keys 4 and values 2 bits, the first and the latest tokens f16",
		Reduces: "bits",
		Paper:   "KVarN 2026, arXiv:2606.03458, the variance-normalised cache",
		Code:    "huawei-csl/KVarN; kvarn/config.py of the authors' vLLM branch",
		Params: []Param{
			{Name: "preset", Kind: Choice, Default: "k4v2_g128", Choices: []string{"k4v2_g128", "k4v4_g128", "k4v2_g64", "k4v4_g64"}, Help: "bits of keys and values, and tokens of a tile"},
		},
		Knob:     "preset",
		Variants: []string{"preset=k4v4_g64"},
		Combined: []string{"corm:recent=16,window=16+kvarn:preset=k4v2_g64"},
		Rotation: func(Args) (engineRotation, error) { return engineRotation{block: wholeRow}, nil },
		Format: func(a Args) (format, error) {
			var m kvarn
			_, err := fmt.Sscanf(a["preset"], "k%dv%d_g%d", &m.keys, &m.values, &m.tile)
			return m.code, err
		},
		// Caches of smaller tiles are larger or smaller than these by the tokens that wait for a tile to fill.
		Settings: func(Args) []string { return []string{"k4v2_g128", "k4v4_g128"} },
	})
}

// kvarnSinks are the first tokens, which stay f16.
const kvarnSinks = 128

// kvarn is variance-normalised quantisation (KVarN 2026): it packs a tile when its last token has been attended.
//
// Differs: the authors' code packs a full tile as the next step begins, which no step's attention can tell apart.
type kvarn struct{ keys, values, tile int } // bits, and tokens of a tile

// code warns where a good part of the cache is f16, which flatters the error and spoils the size.
func (m kvarn) code(c Cell, s side) (coding, error) {
	bits := m.keys
	if s.values {
		bits = m.values
	}
	how := coding{layout: kernel.Layout{
		Format: kernel.Blocked, Blocks: kernel.Balanced(bits, !s.values), Tokens: m.tile,
		Residual: kernel.ResidualWindow{Sinks: kvarnSinks, Flush: m.tile},
	}}
	if s.entries == 0 {
		return how, nil
	}
	n := s.entries + c.Decode
	plain := min(n, kvarnSinks)
	plain += (n - plain) % m.tile
	if 5*plain > n {
		how.warnings = []cache.Warning{{
			Code: "mostly-unpacked",
			Text: fmt.Sprintf("%d of %d entries of a head are f16, as the first %d and those of the last tile always are: a short sequence says little", plain, n, kvarnSinks),
		}}
	}
	return how, nil
}
