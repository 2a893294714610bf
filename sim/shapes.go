package sim

import (
	"kvgauge/sim/arch"
	"kvgauge/sim/trace"
)

// shapes is the header of a trace that holds so many tokens of a model: its shapes, and no rows. Layers without keys hold
// nothing in it; what they and others cache besides keys, values and latents is for besides to say. Where the model says
// nothing of it, keys are taken to be under a rotary embedding.
func shapes(m arch.Model, name string, tokens int) *trace.Header {
	h := &trace.Header{Name: name, Model: m.Type, NumLayers: len(m.Layers), Tokens: tokens, Queries: tokens}
	frequencies := map[int][]float64{}
	rope := func(dims int) trace.Rope {
		dims -= dims % 2
		if frequencies[dims] == nil {
			frequencies[dims] = make([]float64, dims/2)
		}
		return trace.Rope{Theta: 1, Style: "neox", Dims: dims, InvFreq: frequencies[dims]}
	}
	for i, l := range m.Layers {
		a := trace.Attention{QHeads: l.QHeads, KVHeads: l.KVHeads, QKDim: l.QKDim, VDim: l.VDim, Window: l.Window, Chunk: l.Chunk}
		switch {
		case l.From >= 0:
			of := m.Layers[l.From]
			a.KVHeads, a.QKDim, a.VDim, a.Borrows, a.KVFrom = of.KVHeads, of.QKDim, of.VDim, true, l.From
			a.Rope = rope(a.QKDim)
		case l.Rank > 0:
			a.KVHeads, a.Rank, a.SharedDim = 1, l.Rank, l.Rope
			a.Rope = rope(l.Rope)
		case l.KVHeads > 0:
			a.Rope = rope(a.QKDim)
		default:
			h.States = append(h.States, trace.State{Layer: i})
			continue
		}
		h.Layers, h.Attention = append(h.Layers, i), append(h.Attention, a)
	}
	return h
}

// besides is the bytes of what a model caches that is neither keys and values of tokens nor their latents, after so many of
// them: states, keys of indexers, what waits for compression, rows of a learned prompt. No method of this program changes
// them. An element of the model's own type has elem bytes, in keys and values row ones.
func besides(m arch.Model, tokens, elem, row int) (n int64) {
	for _, l := range m.Layers {
		for _, t := range l.Tensors {
			switch t.Role {
			case arch.Key, arch.Value, arch.Latent, arch.Rotary:
				if t.Rows.Grow == arch.All {
					n += t.Bytes(0, 0, row)
				}
			default:
				n += t.Bytes(tokens, 0, elem)
			}
		}
	}
	return n
}
