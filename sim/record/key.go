package record

import (
	"fmt"
	"strconv"
	"strings"
)

// Key is what two records of the same cell share, wherever and whenever they were measured. Its fields
// are those that the contract joins records on, and the model, so that rows of different models never meet.
type Key struct {
	TraceSHA256, Model, Pipeline string
	Layers                       string // as fmt prints them
	SeqLen, Decode, Windows      int
	Seed                         uint64
}

// Key returns the key of the record's cell.
func (r Record) Key() Key {
	return Key{
		TraceSHA256: r.TraceSHA256, Model: r.Model, Pipeline: r.Pipeline, Layers: fmt.Sprint(r.Layers),
		SeqLen: r.SeqLen, Decode: r.Decode, Windows: r.Windows, Seed: r.Seed,
	}
}

// Cell names the record's cell in messages.
func (r Record) Cell() string {
	return fmt.Sprintf("%s on %s at %s", r.Pipeline, r.Trace, Count(r.SeqLen, "token", ""))
}

// String is the shape by the names of its JSON, without what is none: layer=3 q_heads=8 kv_heads=2 qk_dim=64 v_dim=32
// window=128. It has no slash, which is what joins the items of a list in a table of raw values.
func (s Shape) String() string {
	text := fmt.Sprintf("layer=%d q_heads=%d kv_heads=%d qk_dim=%d v_dim=%d", s.Layer, s.QHeads, s.KVHeads, s.QKDim, s.VDim)
	if s.Window > 0 {
		text += fmt.Sprintf(" window=%d", s.Window)
	}
	if s.Chunk > 0 {
		text += fmt.Sprintf(" chunk=%d", s.Chunk)
	}
	if s.Latent {
		text += " latent"
	}
	return text
}

// Ring says whether attention reads a window or a chunk of the keys alone.
func (s Shape) Ring() bool { return s.Window > 0 || s.Chunk > 0 }

// LayerList writes layer numbers as ranges: 0..3,8.
func LayerList(layers []int) string {
	var parts []string
	for i := 0; i < len(layers); {
		j := i
		for j+1 < len(layers) && layers[j+1] == layers[j]+1 {
			j++
		}
		part := strconv.Itoa(layers[i])
		if j > i {
			part += ".." + strconv.Itoa(layers[j])
		}
		parts, i = append(parts, part), j+1
	}
	return strings.Join(parts, ",")
}
