// Package engine says what serving engines reserve for a model's cache: as the engine's own code lays it out, of a
// version that is named with each figure. What is not modelled is an error that says so, never a guess.
//
//   - engine.go: an Engine, and what it is asked; shard.go: what one rank of several holds
//   - transformers.go, vllm.go, llamacpp.go: an engine each
//
// Figures are those of one rank, of the cache alone: no weights, activations, graphs or allocator's losses.
package engine

import (
	"fmt"
	"slices"

	"kvgauge/sim/arch"
)

// Request is what an engine is to hold.
type Request struct {
	Model arch.Model // of one rank: see Shard
	Elem  int        // bytes of an element of the model's own type in keys and values
	State int        // bytes of an element of the model's own type in states

	// Rows are the bytes of a token's keys and of its values in a layer of the model, all heads together, where a format
	// says them; nil: Elem bytes an element. The latent of a layer is its key.
	Rows func(layer int) (key, value int64)

	FullWindows bool // of llama.cpp: layers with a window are allocated in full
	InFlight    int  // of vLLM: tokens that steps under way may hold of a sequence
}

// row is the bytes of a token's keys and values in a layer, or of its latent and rotary row.
func (r Request) row(layer int) int64 {
	l := r.Model.Layers[layer]
	switch {
	case r.Rows != nil:
		key, value := r.Rows(layer)
		return key + value
	case l.Rank > 0:
		return int64(l.Rank+l.Rope) * int64(r.Elem)
	}
	return int64(l.KVHeads) * int64(l.QKDim+l.VDim) * int64(r.Elem)
}

// Engine is one serving engine.
type Engine struct {
	Name, Version string
	Source        string // the code that the figures follow
	Repository    string // methods whose code is of it are formats that the engine serves
	OwnType       string // of keys and values where none is asked for, as configurations call it; empty: the model's

	// Bytes is what the engine holds for one sequence of so many tokens; for more of them so many times as much.
	Bytes func(r Request, tokens int) (int64, error)

	// Note is what the figures of a request rest on that a user may set otherwise; nil: nothing.
	Note func(r Request) string
}

// All are the engines, in the order of help texts.
func All() []Engine { return []Engine{transformers, vllm, llamaCPP} }

// Names are those of All.
func Names() []string {
	var names []string
	for _, e := range All() {
		names = append(names, e.Name)
	}
	return names
}

// Lookup finds an engine by name.
func Lookup(name string) (Engine, bool) {
	all := All()
	i := slices.IndexFunc(all, func(e Engine) bool { return e.Name == name })
	if i < 0 {
		return Engine{}, false
	}
	return all[i], true
}

// unmodelled is the error of what a layer caches that an engine's figures do not cover.
func (e Engine) unmodelled(l int, what string) error {
	return fmt.Errorf("%s %s: %s of layer %d: how the engine holds it is not modelled", e.Name, e.Version, what, l)
}

// roundUp is n, or the next multiple of m.
func roundUp(n, m int64) int64 { return (n + m - 1) / m * m }

// windows says whether any layer has a window or chunks.
func windows(m arch.Model) bool {
	return slices.ContainsFunc(m.Layers, func(l arch.Layer) bool { return l.From < 0 && max(l.Window, l.Chunk) > 0 })
}
