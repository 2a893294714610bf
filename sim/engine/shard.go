package engine

import (
	"fmt"
	"slices"

	"kvgauge/sim/arch"
)

// Shard is what one of so many ranks of tensor parallelism holds of a model: its part of the heads, one KV head where there
// are fewer than ranks, and latents and an indexer's keys whole. It fails where heads do not divide, and where a layer
// keeps a state: engines split each family's in their own way.
func Shard(m arch.Model, ranks int) (arch.Model, error) {
	if ranks == 1 {
		return m, nil
	}
	m.Layers = slices.Clone(m.Layers)
	for i, l := range m.Layers {
		switch {
		case l.QHeads%ranks != 0:
			return m, fmt.Errorf("%d query heads of layer %d do not divide by %d ranks", l.QHeads, i, ranks)
		case l.KVHeads > ranks && l.KVHeads%ranks != 0, l.KVHeads > 0 && l.KVHeads < ranks && ranks%l.KVHeads != 0:
			return m, fmt.Errorf("%d KV heads of layer %d and %d ranks: want one to divide the other", l.KVHeads, i, ranks)
		}
		held := max(1, l.KVHeads/ranks)
		tensors := slices.Clone(l.Tensors)
		for t := range tensors {
			switch tensors[t].Role {
			case arch.Key, arch.Value:
				if l.KVHeads > 0 {
					tensors[t].Row = tensors[t].Row / int64(l.KVHeads) * int64(held)
				}
			case arch.Latent, arch.Rotary, arch.Indexer:
			default:
				return m, fmt.Errorf("layer %d keeps %s: how ranks split it is not modelled", i, tensors[t].Name)
			}
		}
		l.Tensors, l.QHeads = tensors, l.QHeads/ranks
		if l.KVHeads > 0 {
			l.KVHeads = held
		}
		m.Layers[i] = l
	}
	m.QHeads /= ranks
	return m, nil
}
