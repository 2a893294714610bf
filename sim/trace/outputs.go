package trace

import (
	"fmt"
	"slices"

	"kvgauge/sim/record"
)

// setOutputs finds the layers whose outputs the container holds.
func (h *Header) setOutputs(c *container) error {
	for i, layer := range h.Layers {
		a, name := &h.Attention[i], outputsName(layer)
		x, ok := c.tensors[name]
		if !ok {
			continue
		}
		want := []int{h.Queries, a.QHeads, a.VDim}
		switch {
		case rowBytes[x.dtype] == 0:
			return fmt.Errorf("tensor %s: dtype %s, want %s", name, printable(x.dtype), rowDtypes)
		case !slices.Equal(x.shape, want):
			return fmt.Errorf("tensor %s: shape %v, want %v (queries, query heads, channels of values)", name, x.shape, want)
		}
		a.Outputs = true
	}
	return nil
}

// outputsName is the tensor of what a layer's attention put out.
func outputsName(layer int) string { return fmt.Sprintf("layers.%d.%s", layer, outputTensor) }

// Outputs returns what the model's own attention put out for n queries from a token on, [q_head][n*VDim], before the
// output projection. The layer must hold them (Attention.Outputs), and these queries.
func (t *Trace) Outputs(layer, first, n int) ([][]float32, error) {
	o, err := t.src.(*container).rows(outputsName(layer), t.FirstQuery(), first-t.FirstQuery(), n)
	if err != nil {
		return nil, record.Input(fmt.Errorf("trace %s: %w", t.Name, err))
	}
	return o, nil
}
