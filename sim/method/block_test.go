package method

import (
	"slices"
	"testing"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// TestBlocks: many tokens at a time give the rows that one at a time gives, to the bit.
func TestBlocks(t *testing.T) {
	const tokens = 150 // more than two blocks, the last of them a part of one
	v := sequence(4, 2, tokens)
	v.Rope = kernel.Rope{InvFreq: []float64{1, 0.5, 0.25, 0.125}}
	for _, spec := range []string{"mla:rank=40", "mla:rank=40,rope=pre", "lowrank", "lowrank:rope=post"} {
		ps, err := Parse([]string{spec}, []Entries{{Count: 1}})
		if err != nil {
			t.Fatal(err)
		}
		c := Cell{Layers: v.Layers, NumLayers: 4, QHeads: v.QHeads(), HeadDim: v.Dim, RopeDims: 8, HasRope: true, Heads: v.Heads(), Dim: v.Dim, VDim: v.VDim, SeqLen: tokens}
		d, err := ps[0].methods[0].(fitter).fitMap(c, v)
		if err != nil {
			t.Fatal(spec, err)
		}
		m := d.Map
		if l, ok := m.(cache.Linear); ok {
			m = l.Encode
		}
		if _, ok := m.(cache.BatchMap); !ok {
			t.Errorf("%s: its map makes rows one at a time", spec)
		}
		got := v.Stored(cache.Decision{Map: d.Map})
		shape := m.Shape(v.Shape())
		for i, pos := range v.Pos[0] {
			k, val := make([][]float32, v.Heads()), make([][]float32, v.Heads())
			for j := range k {
				k[j], val[j] = v.K[j][i*v.Dim:(i+1)*v.Dim], v.V[j][i*v.VDim:(i+1)*v.VDim]
			}
			dstK, dstV := make([][]float32, shape.Heads), make([][]float32, shape.Heads)
			for h := range dstK {
				dstK[h], dstV[h] = make([]float32, shape.K), make([]float32, shape.V)
				if shape.Latent {
					dstV[h] = dstK[h][:shape.V]
				}
			}
			m.Row(int(pos), k, val, dstK, dstV)
			for h := range dstK {
				if !slices.Equal(got.K[h][i*shape.K:(i+1)*shape.K], dstK[h]) || !slices.Equal(got.V[h][i*shape.V:(i+1)*shape.V], dstV[h]) {
					t.Fatalf("%s: token %d, head %d: not the row that it has alone", spec, i, h)
				}
			}
		}
	}
}
