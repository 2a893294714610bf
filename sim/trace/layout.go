package trace

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Bounds on what a trace may say of itself, far above any model.
const (
	maxLayers  = 1 << 16
	maxHeads   = 1 << 12
	maxHeadDim = 1 << 16
	maxTokens  = math.MaxInt32 // stores keep positions as int32
)

// newTrace checks that a container holds a trace and takes its header from it.
func newTrace(c *container) (*Trace, error) {
	if err := checkFormat(c.meta); err != nil {
		return nil, err
	}
	t := &Trace{src: c}
	t.Embedded = c.embedded
	var err error
	if t.Layers, err = layerNumbers(c.tensors); err != nil {
		return nil, err
	}
	strange, err := c.strangers(t.Layers)
	if err != nil {
		return nil, err
	}
	all := &fields{where: "metadata field ", texts: c.meta}
	of, states, ignored, err := layerFieldsOf(all, t.Layers)
	if err != nil {
		return nil, err
	}
	t.States = states
	if err := t.setOwners(c, of); err != nil {
		return nil, err
	}
	if err := t.setShape(c.tensors, c.meta["version"] == firstVersion); err != nil {
		return nil, err
	}
	if err := t.setMetadata(all); err != nil {
		return nil, err
	}
	if err := t.setAttention(c, of); err != nil {
		return nil, err
	}
	t.Unknown = unknownLines(slices.Concat(strange, ignored, t.unrotated(of), t.strangeIDs(c)))
	if err := t.checkSpans(); err != nil {
		return nil, err
	}
	if err := t.setOutputs(c); err != nil {
		return nil, err
	}
	return t, nil
}

// layerNumbers returns the layers that are held, ascending.
func layerNumbers(tensors map[string]tensor) ([]int, error) {
	var layers []int
	for name := range tensors {
		if !isRows(name) {
			continue
		}
		number, _, _ := tensorOf(name)
		n, err := layerNumber(number)
		if err != nil {
			return nil, fmt.Errorf("tensor %s: layer number %s, %w", printable(name), printable(number), err)
		}
		layers = append(layers, n)
	}
	if len(layers) == 0 {
		return nil, errors.New("no tensors layers.N.q, layers.N.k and layers.N.v, want those of at least one layer")
	}
	slices.Sort(layers)
	return slices.Compact(layers), nil
}

// setShape takes heads, widths and lengths from the tensors. Where they are uniform, as in version 1, all layers have those
// of the first, and values the width of keys.
func (h *Header) setShape(tensors map[string]tensor, uniform bool) error {
	for i, layer := range h.Layers {
		if h.Attention[i].Borrows {
			if err := h.borrowShape(i, tensors); err != nil {
				return err
			}
			continue
		}
		if isLatent(tensors, layer) {
			if err := h.latentShape(i, tensors); err != nil {
				return err
			}
			continue
		}
		for _, kind := range []string{"k", "v", "q"} { // keys first: they say what the others may be
			name := fmt.Sprintf("layers.%d.%s", layer, kind)
			x, ok := tensors[name]
			if !ok {
				return fmt.Errorf("tensor %s: missing, want q, k and v of each layer", name)
			}
			if rowBytes[x.dtype] == 0 {
				return fmt.Errorf("tensor %s: dtype %s, want %s", name, printable(x.dtype), rowDtypes)
			}
			if err := h.takeShape(i, kind, x.shape, uniform); err != nil {
				return fmt.Errorf("tensor %s: %w", name, err)
			}
		}
	}
	return nil
}

// frameOf is what the shape of a tensor of the i-th layer must be, so far as those before it say.
func (h *Header) frameOf(i int, kind string, uniform bool) frame {
	first := &h.Attention[0]
	switch known := uniform && i > 0; {
	case kind == "v" && uniform, kind == "k" && known:
		return frame{h.Tokens, first.KVHeads, first.QKDim}
	case kind == "v":
		return frame{h.Tokens, h.Attention[i].KVHeads, 0}
	case kind == "k":
		return frame{h.Tokens, 0, 0}
	case known:
		return frame{h.Queries, first.QHeads, first.QKDim}
	}
	return frame{h.Queries, 0, 0}
}

// takeShape takes the shape of a tensor of the i-th layer.
func (h *Header) takeShape(i int, kind string, shape []int, uniform bool) error {
	if err := h.frameOf(i, kind, uniform).check(shape); err != nil {
		return err
	}
	a := &h.Attention[i]
	switch kind {
	case "k":
		h.Tokens, a.KVHeads, a.QKDim = shape[0], shape[1], shape[2]
		return nil
	case "v":
		a.VDim = shape[2]
		return nil
	}
	h.Queries, a.QHeads = shape[0], shape[1]
	switch {
	case shape[0] > h.Tokens:
		return fmt.Errorf("shape %v, want at most the %d rows of the keys%s", shape, h.Tokens, headsFirst(h.Tokens, a.KVHeads))
	case shape[1]%a.KVHeads != 0:
		return fmt.Errorf("shape %v, want a multiple of the %d KV heads%s", shape, a.KVHeads, headsFirst(h.Tokens, a.KVHeads))
	case shape[2] != a.QKDim:
		return fmt.Errorf("shape %v, want the head_dim of the keys, %d", shape, a.QKDim)
	}
	return nil
}

// headsFirst asks whether the heads stand before the tokens, where there are more of them.
func headsFirst(tokens, heads int) string {
	if heads <= tokens {
		return ""
	}
	return fmt.Sprintf(": %d tokens of %d heads: transposed? want [tokens, heads, channels]", tokens, heads)
}

// axis is one dimension of a shape: how errors call it where it is free, and its bound.
type axis struct {
	name string
	most int
}

// The axes of rows.
var (
	rowAxis  = axis{"rows", maxTokens}
	headAxis = axis{"heads", maxHeads}
	rowAxes  = []axis{rowAxis, headAxis, {"channels", maxHeadDim}}
)

// frame is what a shape must be; 0 is any number within the bounds.
type frame []int

// check is checkAs for rows, [rows, heads, channels].
func (f frame) check(shape []int) error { return f.checkAs(shape, rowAxes) }

// checkAs compares a shape whose axes are these.
func (f frame) checkAs(shape []int, axes []axis) error {
	known := !slices.Contains(f, 0)
	if len(shape) != len(f) && !known {
		return fmt.Errorf("shape %v, want %s", shape, f.names(axes))
	}
	for i, a := range axes {
		if !known && (shape[i] < 1 || shape[i] > a.most) {
			return fmt.Errorf("shape %v, want 1 to %d %s", shape, a.most, a.name)
		}
	}
	for i, want := range f {
		if len(shape) != len(f) || want != 0 && shape[i] != want {
			return fmt.Errorf("shape %v, want %s", shape, f.text(axes))
		}
	}
	return nil
}

// names are those of the axes, [rows, heads, head_dim].
func (f frame) names(axes []axis) string {
	var names []string
	for _, a := range axes {
		if names = append(names, a.name); a.name == "channels" {
			names[len(names)-1] = "head_dim"
		}
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// text names what is free.
func (f frame) text(axes []axis) string {
	var parts []string
	for i, n := range f {
		if parts = append(parts, strconv.Itoa(n)); n == 0 {
			parts[i] = axes[i].name
		}
	}
	return "[" + strings.Join(parts, " ") + "]"
}
