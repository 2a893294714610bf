package trace

import (
	"maps"
	"math"

	"kvgauge/sim/kernel"
)

// isFull says whether a layer is one of those that full_every makes full, as one of 6 is in Gemma 3 and one of 2 in gpt-oss.
func (a synthArgs) isFull(layer int) bool {
	n := a.int("full_every")
	return n > 0 && layer%n == n-1
}

// at returns the parameters as they hold in one layer.
func (a synthArgs) at(layer int) synthArgs {
	l := maps.Clone(a)
	if a.isFull(layer) {
		l["window"], l["chunk"] = 0, 0
		if a["nope_full"] > 0 {
			l["rope"] = 0
		}
	} else {
		for _, name := range []string{"kv_heads", "head_dim", "theta"} {
			if x := a["window_"+name]; x > 0 {
				l[name] = x
			}
		}
	}
	if l["v_dim"] == 0 {
		l["v_dim"] = l["head_dim"]
	}
	if l.isLatent() && l["latent_rope"] == 0 {
		l["latent_rope"] = max(leastHead, 8*math.Floor(l["head_dim"]/16))
	}
	return l
}

// rule says which keys a query of a layer reads.
func (a synthArgs) rule() kernel.Rule {
	return kernel.Rule{Window: a.int("window"), Chunk: a.int("chunk")}
}

// root is the inverse of the factor of a layer's logits.
func (a synthArgs) root() float64 {
	if a["scale"] > 0 {
		return 1 / a["scale"]
	}
	return math.Sqrt(float64(a.width()))
}

// frequenciesOf are those of a layer's rotary embedding, all 0 where there is none.
func (a synthArgs) frequenciesOf() []float64 {
	if a["rope"] == 0 {
		return make([]float64, a.rotated()/2)
	}
	return Frequencies(a["theta"], a.rotated())
}

// attention is that of a layer, whose parameters these are.
func (a synthArgs) attention(layer int) Attention {
	t := Attention{
		QHeads: a.int("q_heads"), KVHeads: a.int("kv_heads"), QKDim: a.width(), VDim: a.int("v_dim"),
		Window: a.int("window"), Chunk: a.int("chunk"), Scale: 1 / a.root(), Softcap: a["softcap"], RopeFactor: 1,
	}
	if a.isLatent() {
		t.Rank, t.SharedDim = a.int("latent"), a.int("latent_rope")
	}
	if a["rope"] > 0 {
		t.Rope = Rope{Theta: a["theta"], Style: "neox", Dims: a.rotated(), InvFreq: a.frequenciesOf()}
	}
	if a["scale"] > 0 {
		t.Scale = a["scale"] // not the inverse of its inverse
	}
	for h, m := range a.headModels(layer) {
		if strength := a["sinks"]; strength > 0 {
			spread := between(a.headKey(forHeads, layer, h)+5, -0.5, 0.5) // after the draws of headModels
			t.Sinks = append(t.Sinks, single(m.usual()+math.Log(strength)+spread))
		}
		if a["alibi"] > 0 {
			t.ALiBi = append(t.ALiBi, single(math.Exp2(-8*float64(h+1)/float64(t.QHeads))))
		}
	}
	return t
}

// single rounds to what a file holds.
func single(x float64) float64 { return float64(float32(x)) }

// needleHomes are the layers that needles are planted in: those that read all keys, or all where none does.
func (a synthArgs) needleHomes() []needleHome {
	var full, all []needleHome
	for layer := range a.int("layers") {
		l := a.at(layer)
		home := needleHome{layer, l.int("kv_heads"), l.rule()}
		if all = append(all, home); home.rule == (kernel.Rule{}) {
			full = append(full, home)
		}
	}
	if len(full) > 0 {
		return full
	}
	return all
}
