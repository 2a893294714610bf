package sim

import (
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/record"
)

// blank is the record of a cell of which nothing is measured, on the trace of a hash.
func (c Cell) blank(o Options, hash string) record.Record {
	t := c.Trace
	rec := record.Record{
		Schema: record.Schema, Status: record.OK, Trace: t.Name, TraceSHA256: hash, Model: t.Model,
		Pipeline: c.Pipeline.Name, Family: c.Pipeline.Family, SeqLen: c.SeqLen, Decode: c.Decode, Windows: c.Windows,
		Layers: c.Layers, NumLayers: t.NumLayers,
		Seed: o.Seed, Warnings: []record.Warning{}, Version: o.Version,
	}
	if n := t.StateBytes(); n > 0 {
		rec.StateBytes = &n
	}
	c.putShapes(&rec)
	for _, line := range t.Unknown {
		rec.Warnings = append(rec.Warnings, record.Warning{Code: "unknown-field", Text: line})
	}
	if c.Target > 0 {
		rec.TargetBytes, rec.Knob = &c.Target, c.Knob
	}
	if c.Skip != "" {
		rec.Status, rec.Reason = record.Skipped, c.Skip
	}
	return rec
}

// putShapes sets heads and widths where the layers that hold keys agree, and else the shape of each; where some layer has a
// window or chunks, or caches latents, it is there, too.
func (c Cell) putShapes(rec *record.Record) {
	var shapes []record.Shape
	for _, layer := range c.Layers {
		a := c.Trace.At(layer)
		shapes = append(shapes, record.Shape{
			Layer: layer, QHeads: a.QHeads, KVHeads: a.KVHeads, QKDim: a.QKDim, VDim: a.VDim, Window: a.Window, Chunk: a.Chunk, Latent: a.Latent(),
		})
	}
	if len(shapes) == 0 {
		return
	}
	plain := true
	agreed := func(of func(record.Shape) int) *int {
		n := of(shapes[0])
		for _, s := range shapes {
			if of(s) != n {
				plain = false
				return nil
			}
		}
		return &n
	}
	rec.QHeads, rec.KVHeads = agreed(func(s record.Shape) int { return s.QHeads }), agreed(func(s record.Shape) int { return s.KVHeads })
	rec.HeadDim, rec.VDim = agreed(func(s record.Shape) int { return s.QKDim }), agreed(func(s record.Shape) int { return s.VDim })
	if latent := func(s record.Shape) bool { return s.Latent }; plain && len(c.windowed(c.Layers)) == 0 && !slices.ContainsFunc(shapes, latent) {
		return
	}
	rec.Shapes = shapes
}

// record puts what a replay gave into the cell's blank record. Of a result of reconstructed rows, which nothing was
// stored for in its format, the bytes are those that it declares.
func (m *measurement) record(rec record.Record, c Cell) record.Record {
	m.put(&rec, c.fullBytes())
	rec.ChangedLayers = &m.changed
	rec.Error, rec.Latency, rec.Kept, rec.KeptFinal = m.accuracy, m.latency, m.kept, m.keptFinal
	if x := c.result(); x.dense() {
		rec.ClearStore()
		rec.CacheBytes = &x.bytes
		m.warn(cache.Warning{Code: "declared-bytes", Text: "cache_bytes is what the file of the external result declares: nothing was stored in its format"})
	}
	rec.Warnings = append(rec.Warnings, m.warnings...)
	return rec
}
