package sim

import (
	"fmt"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

// External is the result of a method that lives elsewhere, for one trace and length, read from a safetensors
// file. Its tensors are either of two forms, the same for all layers:
//
//	layers.N.kept                I32 or I64 [kv_heads, n]: positions after the prompt, ascending, padded with -1
//	layers.N.k, layers.N.v       [seq_len, kv_heads, head_dim]: the rows that the method reconstructs
//
// Kept rows may also be [q_heads, n]: a cache that repeats K and V for every query head.
type External struct {
	Name string

	pipeline *method.Pipeline
	file     *trace.Tensors
	trace    *trace.Header
	seqLen   int
	decode   int
	kept     map[int][][]int32 // [layer][head] rows; nil in the other form
	bytes    int64             // of the whole cache, as declared with reconstructed rows
}

// Hash returns the sha256 of the file.
func (x *External) Hash() (string, error) { return x.file.Hash() }

// Close releases the file.
func (x *External) Close() error { return x.file.Close() }

// dense says whether the result is one of reconstructed rows.
func (x *External) dense() bool { return x != nil && x.kept == nil }

// skip says why the result is none of a cell.
func (x *External) skip(t *trace.Header, seqLen int) string {
	switch {
	case t != x.trace:
		return "the external result is one on " + x.trace.Name
	case seqLen != x.seqLen:
		return fmt.Sprintf("the external result is one at %d tokens", x.seqLen)
	}
	return ""
}

// replace returns a layer of the trace with the reconstructed rows as its keys and values.
func (x *External) replace(layer int, l *trace.Layer) (*trace.Layer, error) {
	k, err := x.file.Rows(fmt.Sprintf("layers.%d.k", layer))
	if err != nil {
		return nil, fmt.Errorf("external %s: %w", x.Name, err)
	}
	v, err := x.file.Rows(fmt.Sprintf("layers.%d.v", layer))
	if err != nil {
		return nil, fmt.Errorf("external %s: %w", x.Name, err)
	}
	return &trace.Layer{K: k, V: v, Q: l.Q, FirstQuery: l.FirstQuery}, nil
}

// constant is the method of kept positions.
type constant struct{ *External }

var _ method.Method = constant{}

// Fit accepts the cells that the result is for.
func (x constant) Fit(c method.Cell) (method.Cell, error) {
	c.Heads = len(x.kept[c.Layers[0]])
	return c, nil
}

// Decide keeps the rows of the file; the rows of a prompt are its positions.
func (x constant) Decide(_ method.Cell, v *cache.View) (cache.Decision, error) {
	d := cache.Decision{Keep: x.kept[v.Layers[0]]}
	if len(d.Keep) != v.Heads() {
		var repeat cache.MeanHeads
		for h := range v.QHeads() {
			repeat.Of = append(repeat.Of, []int{h / v.Group()})
		}
		d.Map = repeat
	}
	return d, nil
}

// dense is the method of reconstructed rows: all of them, stored as they are.
type dense struct{}

var _ method.Method = dense{}

// Fit accepts the cells that the result is for.
func (dense) Fit(c method.Cell) (method.Cell, error) { return c, nil }

// Decide stores f32: the rows are rounded already, as the method rounds them.
func (dense) Decide(method.Cell, *cache.View) (cache.Decision, error) {
	return cache.Decision{Codec: &cache.Codec{K: kernel.Plain(kernel.F32), V: kernel.Plain(kernel.F32)}}, nil
}
