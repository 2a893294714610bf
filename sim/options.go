package sim

import (
	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

// Options are what a run was asked for.
type Options struct {
	Traces    []*trace.Header
	Calibrate map[*trace.Header]*trace.Header // another text of the same model, to fit maps on
	Pipelines []*method.Pipeline
	Externals []*External // results made elsewhere, each a pipeline of its own
	AtBytes   *Target     // every pipeline's knob is set to this size; nil leaves those that name no share of bytes
	Windows   int         // prefixes averaged in a cell, at most
	Lengths   []int       // sequence lengths; nil: powers of two from 128 that a trace holds, and its whole length
	Decode    *int        // decoded tokens of a cell; nil: an eighth of the sequence, within 16..64
	Repeats   int         // latency samples of a cell; 0: until the interval of the ratio to full is narrow
	Seed      uint64
	Layers    []int // nil: all that a trace holds
	Threads   int
	MaxMemory int64 // bytes that a cell may need
	Page      int   // entries in a page, for paged bytes
	Kept      bool  // store kept positions in the records
	NoLatency bool
	Shard     Shard
	Version   string
}

// Target is the size that every pipeline's cache is set to in an equal-bytes run.
type Target struct {
	Share float64 // of the full cache's bytes; 0: Bytes
	Bytes int64
}

// of is the target in bytes, for a full cache of so many.
func (t Target) of(full int64) int64 {
	if t.Share > 0 {
		return int64(t.Share * float64(full))
	}
	return t.Bytes
}

// Shard is one part of a plan that several machines share. The zero Shard is the whole plan.
type Shard struct{ Index, Count int }
