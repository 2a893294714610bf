package sim

import (
	"kvgauge/sim/cache"
	"kvgauge/sim/record"
)

// blank is the record of a cell of which nothing is measured, on the trace of a hash.
func (c Cell) blank(o Options, hash string) record.Record {
	t := c.Trace
	rec := record.Record{
		Schema: record.Schema, Status: record.OK, Trace: t.Name, TraceSHA256: hash, Model: t.Model,
		Pipeline: c.Pipeline.Name, Family: c.Pipeline.Family, SeqLen: c.SeqLen, Decode: c.Decode, Windows: c.Windows,
		Layers: c.Layers, NumLayers: t.NumLayers, QHeads: t.QHeads, KVHeads: t.KVHeads, HeadDim: t.HeadDim,
		Seed: o.Seed, Warnings: []record.Warning{}, Version: o.Version,
	}
	if c.Target > 0 {
		rec.TargetBytes, rec.Knob = &c.Target, c.Knob
	}
	if c.Skip != "" {
		rec.Status, rec.Reason = record.Skipped, c.Skip
	}
	return rec
}

// record puts what a replay gave into the cell's blank record. Of a result of reconstructed rows, which nothing was
// stored for in its format, the bytes are those that it declares.
func (m *measurement) record(rec record.Record, c Cell) record.Record {
	m.put(&rec, c.fullBytes())
	rec.Error, rec.Latency, rec.Kept, rec.KeptFinal = m.accuracy, m.latency, m.kept, m.keptFinal
	if c.External.dense() {
		rec.ClearStore()
		rec.CacheBytes = &c.External.bytes
		m.warn(cache.Warning{Code: "declared-bytes", Text: "cache_bytes is what the file of the external result declares: nothing was stored in its format"})
	}
	rec.Warnings = append(rec.Warnings, m.warnings...)
	return rec
}
