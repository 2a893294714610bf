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
		New: func(a Args) (Method, error) {
			var m kvarn
			_, err := fmt.Sscanf(a["preset"], "k%dv%d_g%d", &m.keys, &m.values, &m.tile)
			return m, err
		},
	})
}

// kvarnSinks are the first tokens, which stay f16.
const kvarnSinks = 128

// kvarn is variance-normalised quantisation (KVarN 2026): it packs a tile when its last token has been attended.
//
// Differs: the authors' code packs a full tile as the next step begins, which no step's attention can tell apart.
type kvarn struct{ keys, values, tile int }

var _ tuner = kvarn{}

// settings are the bits of values. Caches of smaller tiles are larger or smaller than these by the tokens that wait
// for a tile to fill.
func (kvarn) settings(Cell) []string { return []string{"k4v2_g128", "k4v4_g128"} }

// codec rotates whole rows.
func (m kvarn) codec(c Cell) (cache.Codec, error) {
	layout := func(bits int, alongChannels bool) kernel.Layout {
		return kernel.Layout{
			Format: kernel.Blocked, Blocks: kernel.Balanced(bits, alongChannels), Tokens: m.tile,
			Residual: kernel.ResidualWindow{Sinks: kvarnSinks, Flush: m.tile},
		}
	}
	return cache.Codec{
		K: layout(m.keys, true), V: layout(m.values, false),
		HadamardK: &kernel.Hadamard{Block: c.Dim}, HadamardV: &kernel.Hadamard{Block: c.VDim},
	}, powerOfTwo(c)
}

// Fit wants rows that can be rotated.
func (m kvarn) Fit(c Cell) (Cell, error) { return c, encodable(c, m.codec) }

// Decide warns where a good part of the cache is f16, which flatters the error and spoils the size.
func (m kvarn) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	d, err := codec(m.codec).Decide(c, v)
	n := v.Rows(0) + c.Decode
	plain := min(n, kvarnSinks)
	plain += (n - plain) % m.tile
	if 5*plain > n {
		d.Warnings = []cache.Warning{{
			Code: "mostly-unpacked",
			Text: fmt.Sprintf("%d of %d entries of a head are f16, as the first %d and those of the last tile always are: a short sequence says little", plain, n, kvarnSinks),
		}}
	}
	return d, err
}
