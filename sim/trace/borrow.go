package trace

import (
	"fmt"
	"slices"

	"kvgauge/sim/record"
)

// A layer may have queries alone and read the keys and values of a lower one, its owner (kv_from), as the upper layers of
// Gemma 3n do. What it reads is in the owner's cache already, which must hold all of it.

// setOwners takes from the fields of layers which of them borrow, before any shape is known: those have no keys to take one
// from.
func (h *Header) setOwners(c *container, of []*fields) error {
	h.Attention, c.owners = make([]Attention, len(h.Layers)), map[int]int{}
	for i, layer := range h.Layers {
		a := &h.Attention[i]
		owner, err := of[i].natural(ownerField, -1, 0, maxLayers-1)
		_, held := slices.BinarySearch(h.Layers, owner)
		switch {
		case err != nil:
			return err
		case owner < 0:
			continue
		case owner >= layer:
			return notOwner(layer, owner, "want a lower layer")
		case !held:
			return notOwner(layer, owner, "not held, want one of "+record.LayerList(h.Layers))
		case h.At(owner).Borrows:
			return notOwner(layer, owner, fmt.Sprintf("it reads those of layer %d, want a layer with keys and values of its own", h.At(owner).KVFrom))
		}
		if isLatent(c.tensors, owner) {
			return notOwner(layer, owner, "a latent layer, want one with keys and values")
		}
		a.Borrows, a.KVFrom, c.owners[layer] = true, owner, owner
		for _, kind := range slices.Concat([]string{"k", "v"}, latentTensors) {
			name := fmt.Sprintf("layers.%d.%s", layer, kind)
			if _, ok := c.tensors[name]; ok {
				return notOwner(layer, owner, fmt.Sprintf("tensor %s is there, want q alone", name))
			}
		}
	}
	return nil
}

// notOwner refuses the owner that a layer names.
func notOwner(layer, owner int, why string) error {
	return fmt.Errorf("metadata field layers: layer %d: %s: %d: %s", layer, ownerField, owner, why)
}

// borrowShape takes the shape of the i-th layer, which borrows: that of its owner, whose cache as many query heads read.
func (h *Header) borrowShape(i int, tensors map[string]tensor) error {
	a, layer := &h.Attention[i], h.Layers[i]
	name, owner := fmt.Sprintf("layers.%d.q", layer), h.At(a.KVFrom)
	x, want := tensors[name], frame{h.Queries, owner.QHeads, owner.QKDim}
	if rowBytes[x.dtype] == 0 {
		return fmt.Errorf("tensor %s: dtype %s, want %s", name, printable(x.dtype), rowDtypes)
	}
	if err := want.check(x.shape); err != nil {
		return notOwner(layer, a.KVFrom, fmt.Sprintf("tensor %s: %v, as that layer's queries have", name, err))
	}
	a.QHeads, a.KVHeads, a.QKDim, a.VDim = owner.QHeads, owner.KVHeads, owner.QKDim, owner.VDim
	return nil
}

// checkSpans refuses owners whose window or chunk is smaller than that of a layer which borrows: it would read what their
// cache no longer holds.
func (h *Header) checkSpans() error {
	for i, layer := range h.Layers {
		a := &h.Attention[i]
		if !a.Borrows {
			continue
		}
		held, read := h.At(a.KVFrom).Ring(), a.Ring()
		switch {
		case held == 0 || read > 0 && read <= held:
			continue
		case read == 0:
			return notOwner(layer, a.KVFrom, fmt.Sprintf("its window or chunk keeps %d tokens, this layer reads all: want no smaller one", held))
		}
		return notOwner(layer, a.KVFrom, fmt.Sprintf("its window or chunk keeps %d tokens, this layer reads %d: want no smaller one", held, read))
	}
	return nil
}
