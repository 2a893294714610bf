package sim

import (
	"fmt"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

// dense says whether the result is one of reconstructed rows.
func (x *External) dense() bool { return x != nil && x.kept == nil }

// skip says why the result is none of a cell.
func (x *External) skip(c Cell) string {
	switch {
	case c.Trace != x.trace:
		return "the external result is one on " + x.trace.Name
	case c.SeqLen != x.seqLen:
		return fmt.Sprintf("the external result is one at %d tokens", x.seqLen)
	}
	return ""
}

// checkExternals fails where an external result belongs to no cell, or lacks what its cell needs.
func (p *Plan) checkExternals() error {
	for _, x := range p.Externals {
		i := slices.IndexFunc(p.Cells, func(c Cell) bool { return c.External == x && x.skip(c) == "" })
		if i < 0 {
			return fmt.Errorf("--external %s: metadata field seq_len: %d, want one of the run's lengths (--lengths %d)", x.Name, x.seqLen, x.seqLen)
		}
		c := p.Cells[i]
		if c.Decode != x.decode {
			return fmt.Errorf("--external %s: metadata field decode: %d, want the run's %d (--decode %d)", x.Name, x.decode, c.Decode, x.decode)
		}
		for _, layer := range c.Layers {
			name := fmt.Sprintf("layers.%d.kept", layer)
			if x.dense() {
				name = fmt.Sprintf("layers.%d.k", layer)
			}
			if x.file.Shape(name) == nil {
				return fmt.Errorf("--external %s: tensor %s: missing, want every layer that is measured", x.Name, name)
			}
		}
	}
	return nil
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

// declare puts the declared bytes into a record in the place of those of the store that the reconstructed rows
// stood in.
func (x *External) declare(rec *Record) {
	rec.CacheBytes = &x.bytes
	rec.MetadataBytes, rec.PagedBytes, rec.WeightBytes, rec.PeakBytes, rec.TrafficBytes = nil, nil, nil, nil, nil
	rec.Kept, rec.KeptFinal, rec.Error.Recall = nil, nil, nil
	rec.warn(cache.Warning{Code: "declared-bytes", Text: "cache_bytes is what the file of the external result declares: nothing was stored in its format"})
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
