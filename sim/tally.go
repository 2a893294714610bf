package sim

import (
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
)

// tally adds up the bytes of a cell, one group of layers after the other.
type tally struct {
	states    int64   // of layers without keys
	once      int64   // kept between steps, once for all layers
	metadata  int64   // of the stores
	weights   int64   // maps fitted on another text of the model
	prefilled int64   // of the groups reduced so far, after the prompt
	peak      int64   // largest during prefill
	perStep   []int64 // [step] of all groups after the append
	final     int64
	paged     int64
	traffic   int64
	flops     int64 // of the last step
	changed   int   // layers that the pipeline changed
	clipped   kernel.Clipped
	dropped   bool // a stage of the pipeline dropped an entry, or a step left one out
}

// decided counts what decisions keep beside the stores, and what a group's prompt takes when it is reduced.
func (t *tally) decided(c Cell, group []int, decisions []cache.Decision, s *cache.Store) {
	once := int64(0)
	for _, d := range decisions {
		once += int64(d.MetaPerCache)
		t.weights += d.Weights
	}
	t.once = max(t.once, once)                                                                // layers that are left alone keep none
	t.peak = max(t.peak, t.prefilled+int64(s.Producers())*c.layerBytes(group[0], c.prompt())) // other layers of the group make no rows
	t.prefilled += s.Bytes()
}

// decoded counts a group's store after the last step.
func (t *tally) decoded(c Cell, layer int, s *cache.Store, page int) {
	t.final += s.Bytes()
	t.metadata += s.Metadata()
	t.paged += s.Paged(page)
	t.traffic += s.Traffic()
	t.flops += s.FLOPs()
	cut := s.Clipped()
	t.clipped.Values += cut.Values
	t.clipped.Of += cut.Of
	for h := range s.Heads() {
		t.dropped = t.dropped || s.Selects() || len(s.Pos(h)) < c.held(layer)
	}
}

// cacheBytes are those of the whole cache after the last step.
func (t *tally) cacheBytes() int64 { return t.final + t.once + t.states }

// put sets the bytes of a record, which outlives the replay and its stores.
func (t *tally) put(rec *record.Record, full int64) {
	bytes := func(n int64) *int64 { n += t.once + t.states; return &n }
	peak, metadata := max(t.peak, slices.Max(t.perStep)), t.metadata+t.once
	rec.CacheBytes, rec.PagedBytes, rec.PeakBytes, rec.TrafficBytes = bytes(t.final), bytes(t.paged), bytes(peak), bytes(t.traffic)
	weights := t.weights
	rec.CacheBytesFull, rec.MetadataBytes, rec.WeightBytes = &full, &metadata, &weights
}
