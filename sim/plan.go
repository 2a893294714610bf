package sim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

// Options are what a run was asked for.
type Options struct {
	Traces    []*trace.Trace
	Calibrate map[*trace.Trace]*trace.Trace // another text of the same model, to fit maps on
	Pipelines []*method.Pipeline
	Externals []*External // results made elsewhere, each a pipeline of its own
	AtBytes   *Target     // every pipeline's knob is set to this size; nil leaves them as they are
	Windows   int         // prefixes averaged in a cell, at most
	Lengths   []int       // sequence lengths; nil: powers of two from 128 that a trace holds, and its whole length
	Decode    int         // decoded tokens of a cell; negative: an eighth of the sequence, within 16..64
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

// Plan is the list of cells, in the order in which they run.
type Plan struct {
	Options
	Cells     []Cell
	Positions []int                  // [cell] its place in the whole plan, of a shard
	Total     int                    // cells of the whole plan
	Done      int                    // the first so many cells have records already
	rows      map[*trace.Trace]*rows // once loaded
	fits      map[*trace.Trace]*method.Calibration

	// Limits is what the machine can do, which a step's time is held against, and Flushing how its caches are emptied;
	// nil where nothing is timed.
	Limits   *kernel.Roofline
	Flushing *kernel.Flushing
	flush    func(*kernel.Pool, [][]byte) // drops memory from the caches
}

// Cell is one trace x pipeline x sequence length.
type Cell struct {
	Trace     *trace.Trace
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

// ErrNothing says that no cell of a plan applies.
var ErrNothing = errors.New("nothing to run")

// NewPlan lays out the cells. It fails where nothing that was asked for applies.
func NewPlan(o Options) (*Plan, error) {
	p := &Plan{Options: o}
	if err := p.checkLengths(); err != nil {
		return nil, err
	}
	if o.Windows > 1 && len(o.Externals) > 0 {
		return nil, fmt.Errorf("--external %s: it is the result for one prefix, want 1 window, not %d", o.Externals[0].Name, o.Windows)
	}
	for _, t := range o.Traces {
		layers := t.Layers
		if o.Layers != nil {
			layers = slices.DeleteFunc(slices.Clone(t.Layers), func(l int) bool { return !slices.Contains(o.Layers, l) })
		}
		for _, n := range lengths(o.Lengths, t) {
			c := Cell{Trace: t, SeqLen: n, Decode: decodeLen(o.Decode, n), Layers: layers}
			c.Windows = c.windows(o.Windows)
			for _, c.Pipeline = range o.Pipelines {
				p.add(c)
			}
			for _, c.External = range o.Externals {
				c.Pipeline = c.External.pipeline
				p.add(c)
			}
		}
	}
	if err := p.checkExternals(); err != nil {
		return nil, err
	}
	if err := p.checkCells(); err != nil {
		return nil, err
	}
	p.Total = len(p.Cells)
	if o.Shard.Count > 0 {
		p.Positions = o.Shard.positions(p.Cells)
		whole := p.Cells
		p.Cells = nil
		for _, i := range p.Positions {
			p.Cells = append(p.Cells, whole[i])
		}
	}
	return p, nil
}

// add appends a cell.
func (p *Plan) add(c Cell) {
	if c.Skip = c.skip(p.Options); c.Skip == "" {
		c.estimate(p.Options)
	}
	if c.Memory > p.MaxMemory {
		c.Skip = fmt.Sprintf("needs about %.3f MiB of memory, --max-memory is %.3f MiB", float64(c.Memory)/(1<<20), float64(p.MaxMemory)/(1<<20))
	}
	p.Cells = append(p.Cells, c)
}

// checkCells fails where no cell applies.
func (p *Plan) checkCells() error {
	if !slices.ContainsFunc(p.Cells, func(c Cell) bool { return c.Skip == "" }) {
		c := p.Cells[0]
		return fmt.Errorf("%w: %s on %s at %d tokens: %s", ErrNothing, c.Pipeline.Name, c.Trace.Name, c.SeqLen, c.Skip)
	}
	return nil
}

// checkLengths fails where a length is beyond every trace, and where no trace holds any of the layers.
func (p *Plan) checkLengths() error {
	longest := 0
	var held []string
	for _, t := range p.Traces {
		longest = max(longest, t.Tokens)
		held = append(held, fmt.Sprintf("%s %d", t.Name, t.Tokens))
	}
	if p.Lengths != nil && slices.Min(p.Lengths) > longest {
		return fmt.Errorf("--lengths %d: no trace holds that many tokens (%s)", slices.Min(p.Lengths), strings.Join(held, ", "))
	}
	for _, l := range p.Layers {
		if !slices.ContainsFunc(p.Traces, func(t *trace.Trace) bool { return slices.Contains(t.Layers, l) }) {
			return fmt.Errorf("--layers %d: no trace holds it", l)
		}
	}
	return nil
}

// lengths returns the sequence lengths of a trace.
func lengths(asked []int, t *trace.Trace) []int {
	if asked != nil {
		return asked
	}
	var ns []int
	for n := 128; n < t.Tokens; n *= 2 {
		ns = append(ns, n)
	}
	return append(ns, t.Tokens)
}

// decodeLen returns the number of decoded tokens of a sequence.
func decodeLen(asked, seqLen int) int {
	if asked >= 0 {
		return asked
	}
	return min(64, max(16, seqLen/8))
}

// skip says why the cell does not apply, or nothing. Memory, which depends on the machine, is not asked for.
func (c Cell) skip(o Options) string {
	t, prompt := c.Trace, c.SeqLen-c.Decode
	switch first := c.firstStep(); {
	case c.SeqLen > t.Tokens:
		return fmt.Sprintf("the trace holds %d tokens", t.Tokens)
	case len(c.Layers) == 0:
		return "the trace holds none of the layers asked for"
	case prompt < 1:
		return fmt.Sprintf("decoding %d of %d tokens leaves no prompt", c.Decode, c.SeqLen)
	case t.FirstQuery() > first:
		return fmt.Sprintf("needs the queries from token %d on; the trace holds those from token %d on", first, t.FirstQuery())
	}
	if c.External != nil {
		if why := c.External.skip(c); why != "" {
			return why
		}
	}
	if o.AtBytes == nil { // else when its knob is set
		if err := c.fit(o.Seed); err != nil {
			return err.Error()
		}
	}
	return ""
}

// firstStep is the token of the first query whose output is compared: the first decoded one, or without
// decoding the last of the prompt.
func (c Cell) firstStep() int { return min(c.SeqLen-c.Decode, c.SeqLen-1) }

// steps is the number of queries whose outputs are compared.
func (c Cell) steps() int { return c.SeqLen - c.firstStep() }

// fullBytes is the f16 cache of the trace's own heads.
func (c Cell) fullBytes() int64 {
	return 4 * int64(len(c.Layers)) * int64(c.SeqLen) * int64(c.Trace.KVHeads) * int64(c.Trace.HeadDim)
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

// estimate bounds the memory that the cell needs, and counts its multiplications roughly: those of scoring, decoding
// and latency, and of the reference with its look at the recent prompt queries. Counts depend on the trace and the
// options alone: shards are cut by them, the same way on every machine.
func (c *Cell) estimate(o Options) {
	t := c.Trace
	n, layers, steps := int64(c.SeqLen), int64(len(c.Layers)), int64(c.steps())
	h, d, windows := int64(t.QHeads), int64(t.HeadDim), int64(c.Windows)
	c.Memory = collected(c.shared()*c.rowBytes()) + c.memory(o)
	timed := int64(0)
	if c.timed(o) {
		timed = 4 * int64(cmp.Or(o.Repeats, usualSamples))
	}
	c.Work = layers * h * n * d * (windows*2*steps + timed)
	c.Reference = layers * h * n * d * windows * (2*steps + min(lateWindow, n/4))
}
