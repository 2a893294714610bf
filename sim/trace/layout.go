package trace

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
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
	if err := t.setShape(c.tensors); err != nil {
		return nil, err
	}
	if err := t.setMetadata(c.meta); err != nil {
		return nil, err
	}
	if err := t.setInvFreq(c); err != nil {
		return nil, err
	}
	return t, nil
}

// layerNumbers returns the layers that are held, ascending.
func layerNumbers(tensors map[string]tensor) ([]int, error) {
	var layers []int
	for name := range tensors {
		m := rowName.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil || n >= maxLayers || strconv.Itoa(n) != m[1] {
			return nil, fmt.Errorf("tensor %s: layer number %s, want 0 to %d without leading zeros", printable(name), printable(m[1]), maxLayers-1)
		}
		layers = append(layers, n)
	}
	if len(layers) == 0 {
		return nil, errors.New("no tensors layers.N.q, layers.N.k and layers.N.v, want those of at least one layer")
	}
	slices.Sort(layers)
	return slices.Compact(layers), nil
}

// setShape takes heads, dimensions and lengths from the first layer and holds the other layers against it.
func (h *Header) setShape(tensors map[string]tensor) error {
	var q, k []int
	h.Attention = make([]Attention, len(h.Layers))
	for _, layer := range h.Layers {
		for _, kind := range []string{"k", "v", "q"} { // keys first: they say what the queries may be
			name := fmt.Sprintf("layers.%d.%s", layer, kind)
			x, ok := tensors[name]
			if !ok {
				return fmt.Errorf("tensor %s: missing, want q, k and v of each layer", name)
			}
			if rowBytes[x.dtype] == 0 {
				return fmt.Errorf("tensor %s: dtype %s, want %s", name, printable(x.dtype), rowDtypes)
			}
			want := &k
			if kind == "q" {
				want = &q
			}
			if *want == nil {
				if err := checkShape(x.shape, k); err != nil {
					return fmt.Errorf("tensor %s: %w", name, err)
				}
				*want = x.shape
			}
			if !slices.Equal(x.shape, *want) {
				return fmt.Errorf("tensor %s: shape %v, want %v", name, x.shape, *want)
			}
		}
	}
	h.Tokens, h.Queries = k[0], q[0]
	for i := range h.Attention {
		h.Attention[i] = Attention{QHeads: q[1], KVHeads: k[1], QKDim: k[2], VDim: k[2], RopeFactor: 1}
	}
	return nil
}

// checkShape checks [rows, heads, dim], of queries against the shape k of the keys.
func checkShape(shape, k []int) error {
	if len(shape) != 3 {
		return fmt.Errorf("shape %v, want [rows, heads, head_dim]", shape)
	}
	for i, most := range []int{maxTokens, maxHeads, maxHeadDim} {
		if shape[i] < 1 || shape[i] > most {
			return fmt.Errorf("shape %v, want 1 to %d %s", shape, most, [...]string{"rows", "heads", "channels"}[i])
		}
	}
	switch {
	case k == nil:
		return nil
	case shape[0] > k[0]:
		return fmt.Errorf("shape %v, want at most the %d rows of the keys", shape, k[0])
	case shape[1]%k[1] != 0:
		return fmt.Errorf("shape %v, want a multiple of the %d KV heads", shape, k[1])
	case shape[2] != k[2]:
		return fmt.Errorf("shape %v, want the head_dim of the keys, %d", shape, k[2])
	}
	return nil
}

// setInvFreq replaces the frequencies that follow from rope_theta by those of tensor rope_inv_freq.
func (h *Header) setInvFreq(c *container) error {
	x, ok := c.tensors[invFreqName]
	if !ok {
		return nil
	}
	rope := &h.Attention[0].Rope // which all layers share
	want := []int{rope.Dims / 2}
	switch {
	case rope.Dims == 0:
		return fmt.Errorf("tensor %s: no metadata field rope_theta, want it beside", invFreqName)
	case x.dtype != "F32":
		return fmt.Errorf("tensor %s: dtype %s, want F32", invFreqName, printable(x.dtype))
	case !slices.Equal(x.shape, want):
		return fmt.Errorf("tensor %s: shape %v, want %v (half of rope_dims)", invFreqName, x.shape, want)
	}
	values, err := c.vector(invFreqName)
	if err != nil {
		return err
	}
	for p, w := range values {
		if w < 0 {
			return fmt.Errorf("tensor %s: pair %d: %v, want no negative frequency", invFreqName, p, w)
		}
		rope.InvFreq[p] = float64(w)
	}
	return nil
}
