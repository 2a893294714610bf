package cmd

import (
	"math"

	"kvgauge/report"
	"kvgauge/sim"
	"kvgauge/sim/engine"
	"kvgauge/sim/method"
	"kvgauge/sim/record"
)

// fullPipeline is the pipeline that reduces nothing.
const fullPipeline = "full"

// onModel is what an option's cache takes on a model: as the engine that was asked for holds it, where that is modelled, and
// else as run counts it.
func onModel(m sim.ModelFile, o *report.Option, ask report.Ask, records []record.Record) report.OnModel {
	if e, ok := engine.Lookup(ask.Engine); ok {
		if b := bytesOn(m, o, ask, records, e.Name); b.CacheBytes != nil {
			return b
		}
	}
	return bytesOn(m, o, ask, records, sim.Ideal)
}

// bytesOn is what the cache takes as one engine holds it.
func bytesOn(m sim.ModelFile, o *report.Option, ask report.Ask, records []record.Record, name string) report.OnModel {
	b := report.OnModel{Model: m.Name, Engine: name, SeqLen: ask.Tokens}
	spec := o.Pipeline
	if o.SizedTo != nil {
		spec = fullPipeline // whose share it is
	}
	pipelines, err := method.Parse([]string{fullPipeline + "," + spec}, []method.Entries{{Percent: 100}})
	if err != nil {
		b.Reason = err.Error()
		return b
	}
	dtype, assumed := m.CacheType()
	lines, err := sim.Capacities(sim.CapacityOptions{
		Model: m.Model, Name: m.Name, Note: sim.JoinNotes(m.Note, assumed), Engine: name, DType: dtype, Lengths: []int{ask.Tokens}, Pipelines: pipelines,
		Batch: 1, Ranks: 1, Records: records,
	})
	if err != nil {
		b.Reason = err.Error()
		return b
	}
	last := lines[len(lines)-1]
	b.CacheBytes, b.FullBytes, b.Reason, b.Note = last.CacheBytes, last.FullBytes, last.Reason, last.Note
	if name != sim.Ideal {
		b.Engine += " " + last.EngineVersion
	}
	if o.SizedTo != nil && b.CacheBytes != nil {
		sized := int64(math.Round(*o.SizedTo * float64(*b.CacheBytes)))
		b.CacheBytes, b.Note = &sized, sim.JoinNotes(b.Note, "the share that it was sized to")
	}
	return b
}
