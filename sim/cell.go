package sim

import (
	"fmt"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

const (
	// lateWindow is how many of the last prompt queries decide which keys are minor, at most.
	lateWindow = 256
	// lateBatch is how many of them are looked at together; it bounds memory.
	lateBatch = 64
)

// Cell is one trace x pipeline x sequence length.
type Cell struct {
	Trace     *trace.Header
	Pipeline  *method.Pipeline
	SeqLen    int
	Decode    int
	Layers    []int // the model's own numbers
	Windows   int   // prefixes whose errors are averaged
	External  *External
	Target    int64  // bytes of an equal-bytes run, 0 otherwise
	Knob      string // method:parameter that was set for it
	Warnings  []cache.Warning
	Skip      string // why it does not apply; empty where it runs
	Memory    int64  // estimated bytes
	Work      int64  // estimated multiplications, without the reference; 0 where the pipeline does not apply
	Reference int64  // those of the reference that the cells of a trace and length share
}

// Plan is the list of cells, in the order in which they run. It is a plain value: no trace need be open to lay one out,
// print it or cut it into shards.
type Plan struct {
	Options
	Cells     []Cell
	Positions []int // [cell] its place in the whole plan, of a shard
	Total     int   // cells of the whole plan
}

// tried is a pipeline on a trace.
type tried struct {
	trace    *trace.Header
	pipeline string
}

// tried is the cell's pipeline on its trace.
func (c Cell) tried() tried { return tried{c.Trace, c.Pipeline.Name} }

// referenceKey is what the cells that share a reference have in common.
type referenceKey struct {
	trace          *trace.Header
	seqLen, decode int
}

// reference is the key of the cell's reference.
func (c Cell) reference() referenceKey { return referenceKey{c.Trace, c.SeqLen, c.Decode} }

// decodeLen returns the number of decoded tokens of a sequence.
func decodeLen(asked *int, seqLen int) int {
	if asked != nil {
		return *asked
	}
	return min(64, max(16, seqLen/8))
}

// prompt is the number of tokens that are cached at once.
func (c Cell) prompt() int { return c.SeqLen - c.Decode }

// firstStep is the token of the first query whose output is compared: the first decoded one, or without
// decoding the last of the prompt.
func (c Cell) firstStep() int { return min(c.prompt(), c.SeqLen-1) }

// steps is the number of queries whose outputs are compared.
func (c Cell) steps() int { return c.SeqLen - c.firstStep() }

// sees is how many keys each compared query sees.
func (c Cell) sees() []int {
	sees := make([]int, c.steps())
	for s := range sees {
		sees[s] = c.firstStep() + s + 1
	}
	return sees
}

// fullBytes is the f16 cache of the trace's own heads.
func (c Cell) fullBytes() int64 { return int64(len(c.Layers)) * c.layerBytes(c.SeqLen) }

// layerBytes is the f16 cache of the trace's own heads of one layer, of so many tokens.
func (c Cell) layerBytes(tokens int) int64 {
	return 4 * int64(tokens) * int64(c.Trace.KVHeads) * int64(c.Trace.HeadDim)
}

// firstQuery is the first token whose query the cell reads: those that its pipeline looks at, that tell minor keys, and
// that are compared, in any of its windows.
func (c Cell) firstQuery(o Options) int {
	first := c.firstStep()
	for i := range c.Windows {
		w, err := c.window(i)
		if err != nil {
			return c.Trace.FirstQuery()
		}
		first = min(first, w.prompt()-w.lateQueries(), w.firstStep(), w.Pipeline.FirstQuery(w.forMethod(o.Seed, nil), c.calibrated(o)))
	}
	return max(first, c.Trace.FirstQuery())
}

// lateQueries is how many of the last prompt queries decide which keys are minor.
func (c Cell) lateQueries() int { return min(lateWindow, c.prompt()/4) }

// timed says whether latency is measured in the cell.
func (c Cell) timed(o Options) bool { return !o.NoLatency && c.Decode > 0 && !c.External.dense() }

// groups returns the layers that share a store.
func (c Cell) groups() [][]int { return c.Pipeline.Groups(c.Layers, c.Trace.NumLayers) }

// shared is the most layers that share a store.
func (c Cell) shared() int64 {
	n := 1
	for _, group := range c.groups() {
		n = max(n, len(group))
	}
	return int64(n)
}

// forMethod is what a method may know of the cell.
func (c Cell) forMethod(seed uint64, pool *kernel.Pool) method.Cell {
	var repeatEnd int
	if r := c.Trace.Repeat; r.First > 0 {
		repeatEnd = r.Last + 1
	}
	return method.Cell{
		Repeat: c.Trace.Repeat.First, RepeatEnd: repeatEnd,
		Layers: c.Layers, NumLayers: c.Trace.NumLayers,
		QHeads: c.Trace.QHeads, HeadDim: c.Trace.HeadDim, RopeDims: 2 * len(c.Trace.Rope.InvFreq), Heads: c.Trace.KVHeads, Dim: c.Trace.HeadDim, VDim: c.Trace.HeadDim,
		SeqLen: c.SeqLen, Decode: c.Decode, FirstQuery: c.Trace.FirstQuery(), HasRope: len(c.Trace.Rope.InvFreq) > 0,
		Seed: seed, Pool: pool,
	}
}

// windows is how many prefixes a cell averages, of those asked for: they end at seq_len, seq_len - decode, ...
// not below seq_len/2, and the trace holds the queries of their decoded tokens. It is the same for all
// pipelines.
func (c Cell) windows(asked int) int {
	n := 1
	for n < asked && c.Decode > 0 {
		next := c
		next.SeqLen -= n * c.Decode
		if 2*next.SeqLen < c.SeqLen || next.SeqLen <= next.Decode || c.Trace.FirstQuery() > next.firstStep() {
			break
		}
		n++
	}
	return n
}

// window is the cell of the i-th prefix, 0 the longest. Budgets keep the number that they have in the longest.
func (c Cell) window(i int) (Cell, error) {
	if i == 0 {
		return c, nil
	}
	var err error
	if c.Pipeline, err = c.Pipeline.Counted(c.SeqLen); err != nil {
		return c, err
	}
	c.SeqLen -= i * c.Decode
	return c, nil
}

// applies says why the pipeline does not apply to the cell, or to one of its windows.
func (c Cell) applies(seed uint64) error {
	for i := range c.Windows {
		w, err := c.window(i)
		if err == nil {
			err = w.Pipeline.Fit(w.forMethod(seed, nil))
		}
		if err != nil && i > 0 {
			err = fmt.Errorf("window of %d tokens: %w", w.SeqLen, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
