package trace

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"kvgauge/sim/kernel"
)

// setAttention takes what fields and tensors say of each layer's attention; its shape is known.
func (h *Header) setAttention(c *container, of []*fields) error {
	tables := map[ropeKey][]float64{}
	for i := range h.Attention {
		if err := h.Attention[i].set(of[i], tables); err != nil {
			return err
		}
	}
	if err := h.setInvFreq(c); err != nil {
		return err
	}
	for i, layer := range h.Layers {
		a := &h.Attention[i]
		var err error
		if a.Sinks, err = c.headNumbers(fmt.Sprintf("layers.%d.sinks", layer), a.QHeads); err != nil {
			return err
		}
		if a.ALiBi, err = c.headNumbers(fmt.Sprintf("layers.%d.alibi", layer), a.QHeads); err != nil {
			return err
		}
	}
	return nil
}

// set takes the fields of a layer.
func (a *Attention) set(f *fields, tables map[ropeKey][]float64) (err error) {
	if a.Window, err = f.natural("window", 0, 1, maxTokens); err != nil {
		return err
	}
	if a.Chunk, err = f.natural("chunk", 0, 1, maxTokens); err != nil {
		return err
	}
	if a.Softcap, err = f.positive("softcap", 0); err != nil {
		return err
	}
	if a.Scale, err = f.positive("scale", 1/math.Sqrt(float64(a.QKDim))); err != nil {
		return err
	}
	rotated := a.QKDim
	if a.Latent() {
		rotated = a.SharedDim
	}
	if a.Rope, err = parseRope(f, rotated, tables); err != nil {
		return err
	}
	factor, err := f.positive("rope_factor", 1)
	if a.RopeFactor = factor; a.Rope.Dims == 0 {
		a.RopeFactor = 1 // of no channel
	}
	return err
}

// defaultStyle is the rope_style that says nothing: where nothing is rotated, too.
const defaultStyle = "neox"

// unrotatedFields mean nothing without rope_theta.
var unrotatedFields = []string{"rope_dims", "rope_style", "rope_factor"}

// ropeKey is what the frequencies of a rotary embedding follow from.
type ropeKey struct {
	theta float64
	dims  int
}

// parseRope reads the rope_ fields; without rope_theta there is no rotary embedding, and the others say nothing.
func parseRope(f *fields, dim int, tables map[ropeKey][]float64) (Rope, error) {
	r := Rope{Style: defaultStyle}
	var err error
	if r.Theta, err = f.positive("rope_theta", 0); err != nil {
		return Rope{}, err
	}
	if style, path, ok := f.lookup("rope_style"); ok {
		if style != defaultStyle && style != "gptj" {
			return Rope{}, fmt.Errorf("%s: %s, want neox or gptj", path, printable(style))
		}
		r.Style = style
	}
	if _, own := f.texts["rope_dims"]; r.Theta == 0 && !own {
		return Rope{}, nil // the default of all layers may be too wide for one without rotation
	}
	if r.Dims, err = f.natural("rope_dims", dim, 2, dim); err != nil {
		return Rope{}, err
	}
	if r.Theta == 0 {
		return Rope{}, nil
	}
	if r.Dims%2 != 0 {
		_, path, ok := f.lookup("rope_dims")
		if !ok {
			path = "metadata field rope_dims"
		}
		return Rope{}, fmt.Errorf("%s: %d, want an even number", path, r.Dims)
	}
	key := ropeKey{r.Theta, r.Dims}
	if tables[key] == nil {
		tables[key] = Frequencies(r.Theta, r.Dims)
	}
	r.InvFreq = tables[key]
	return r, nil
}

// unrotated returns a line for each thing that fields say of a rotary embedding where there is none.
func (h *Header) unrotated(of []*fields) (ignored []string) {
	lines := func(f *fields) {
		for _, name := range unrotatedFields {
			if text, ok := f.texts[name]; ok && text != defaultStyle {
				ignored = append(ignored, fmt.Sprintf("%s%s: says nothing without rope_theta, ignored", f.where, name))
			}
		}
	}
	if !h.HasRope() {
		lines(cmp.Or(of[0].all, of[0]))
	}
	for i, a := range h.Attention {
		if of[i].all != nil && a.Rope.Dims == 0 {
			lines(of[i])
		}
	}
	return ignored
}

// Frequencies returns theta^(-2p/dims) for every pair p (Su et al., RoFormer, arXiv 2104.09864, sec. 3.2.2).
func Frequencies(theta float64, dims int) []float64 {
	f := make([]float64, dims/2)
	for p := range f {
		f[p] = math.Pow(theta, -2*float64(p)/float64(dims))
	}
	return f
}

// setInvFreq replaces frequencies that follow from rope_theta by those of tensors: a layer's own, or those of all layers.
func (h *Header) setInvFreq(c *container) error {
	_, all := c.tensors[invFreqName]
	if all && !h.HasRope() {
		return fmt.Errorf("tensor %s: no metadata field rope_theta, want it beside", invFreqName)
	}
	var shared []float64 // those of all layers, read once
	for i, layer := range h.Layers {
		rope, name := &h.Attention[i].Rope, fmt.Sprintf("layers.%d.%s", layer, invFreqName)
		_, own := c.tensors[name]
		var err error
		switch {
		case own && rope.Dims == 0:
			return fmt.Errorf("tensor %s: no rope_theta in layer %d, want it beside", name, layer)
		case own:
			rope.InvFreq, err = c.invFreq(name, rope.Dims)
		case all && rope.Dims > 0 && 2*len(shared) == rope.Dims:
			rope.InvFreq = shared
		case all && rope.Dims > 0:
			shared, err = c.invFreq(invFreqName, rope.Dims)
			rope.InvFreq = shared
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// invFreq reads the frequencies of dims rotated channels.
func (c *container) invFreq(name string, dims int) ([]float64, error) {
	x, want := c.tensors[name], []int{dims / 2}
	switch {
	case x.dtype != "F32":
		return nil, fmt.Errorf("tensor %s: dtype %s, want F32", name, printable(x.dtype))
	case !slices.Equal(x.shape, want):
		return nil, fmt.Errorf("tensor %s: shape %v, want %v (half of rope_dims)", name, x.shape, want)
	}
	values, err := c.vector(name)
	if err != nil {
		return nil, err
	}
	for p, w := range values {
		if w < 0 {
			return nil, fmt.Errorf("tensor %s: pair %d: %v, want no negative frequency", name, p, w)
		}
	}
	return values, nil
}

// headNumbers reads a tensor with a number for each query head; nil where there is none.
func (c *container) headNumbers(name string, heads int) ([]float64, error) {
	x, ok := c.tensors[name]
	want := []int{heads}
	switch {
	case !ok:
		return nil, nil
	case rowBytes[x.dtype] == 0:
		return nil, fmt.Errorf("tensor %s: dtype %s, want %s", name, printable(x.dtype), rowDtypes)
	case !slices.Equal(x.shape, want):
		return nil, fmt.Errorf("tensor %s: shape %v, want %v (one for each query head)", name, x.shape, want)
	}
	return c.vector(name)
}

// Rule is that of a query head.
func (a *Attention) Rule(head int) kernel.Rule {
	r := kernel.Rule{Scale: a.Scale, Softcap: a.Softcap, Window: a.Window, Chunk: a.Chunk}
	if a.ALiBi != nil {
		r.Slope = a.ALiBi[head]
	}
	if a.Sinks != nil {
		r.Sink, r.HasSink = a.Sinks[head], true
	}
	return r
}
