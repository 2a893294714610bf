package sim

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"kvgauge/sim/arch"
	"kvgauge/sim/engine"
	"kvgauge/sim/method"
	"kvgauge/sim/record"
)

// Ideal is the name of the engine that wastes nothing: rings of min(window or chunk, tokens) rows, latents once for all
// heads, states as the family stores them, and whatever a pipeline's stores hold. It is what run measures as full.
const Ideal = "ideal"

// idealSource is whose formula its figures follow.
const idealSource = "the stores that kvgauge run fills, by their shapes"

// CapacityOptions are what a plan was asked for.
type CapacityOptions struct {
	Model       arch.Model
	Name        string
	Note        string       // of every line: what of the model is left out
	Engine      string       // Ideal, or one of package engine's
	DType       method.DType // of keys and values where no format is asked for
	Lengths     []int        // tokens of a prompt
	Pipelines   []*method.Pipeline
	Batch       int
	Ranks       int             // of tensor parallelism
	Memory      int64           // bytes of one rank's device; 0: nothing is to fit
	Weights     int64           // bytes of the whole model's, beside Memory
	FullWindows bool            // see engine.Request
	InFlight    int             // the same
	Records     []record.Record // whose shares stand for pipelines whose size depends on the content
}

// planner is one plan, of one rank.
type planner struct {
	CapacityOptions
	engine engine.Engine // zero of Ideal
	state  int           // bytes of an element of the model's own type in states
	shares map[string]share
	left   int64 // bytes of memory beside the weights
}

// Capacities are the lines of a plan: for each length each pipeline, as given.
func Capacities(o CapacityOptions) ([]record.Capacity, error) {
	p := &planner{CapacityOptions: o, state: method.DTypeOf(o.Model.DType).Bytes, shares: sharesOf(o.Records)}
	if o.DType.Bytes >= 2 {
		p.state = o.DType.Bytes // a cache of 8 bits leaves states in the model's type
	}
	var err error
	if p.Model, err = engine.Shard(o.Model, o.Ranks); err != nil {
		return nil, inOption("tp", o.Ranks, "%w", err)
	}
	if o.Engine != Ideal {
		e, ok := engine.Lookup(o.Engine)
		if !ok {
			return nil, inOption("engine", o.Engine, "want one of %s", strings.Join(append([]string{Ideal}, engine.Names()...), ", "))
		}
		p.engine = e
	}
	if o.Memory > 0 {
		p.left = o.Memory - p.weights()
		if p.left <= 0 {
			return nil, inOption("memory", fmt.Sprintf("%.1f GiB", gib(o.Memory)),
				"the weights of a rank take %.1f GiB: want more memory, more ranks ("+record.Opt+"tp), or their real size ("+record.Opt+"weights)", gib(p.weights()))
		}
	}
	var lines []record.Capacity
	for _, n := range o.Lengths {
		for _, pipeline := range o.Pipelines {
			lines = append(lines, p.line(pipeline, n))
		}
	}
	if !slices.ContainsFunc(lines, func(c record.Capacity) bool { return c.CacheBytes != nil }) {
		return nil, record.Input(fmt.Errorf("nothing to plan: %s of %s at %d tokens: %s", lines[0].Pipeline, o.Name, lines[0].SeqLen, lines[0].Reason))
	}
	return lines, nil
}

// gib is bytes in GiB.
func gib(n int64) float64 { return float64(n) / (1 << 30) }

// weights are those of a rank.
func (p *planner) weights() int64 { return (p.Weights + int64(p.Ranks) - 1) / int64(p.Ranks) }

// line is what one pipeline takes at one length.
func (p *planner) line(pipeline *method.Pipeline, tokens int) record.Capacity {
	c := record.Capacity{
		Model: p.Name, Engine: p.Engine, Pipeline: pipeline.Name, Family: pipeline.Family, SeqLen: tokens, Batch: p.Batch,
		DType: p.DType.Name, Ranks: p.Ranks, EngineVersion: p.engine.Version, Source: p.engine.Source, Note: p.Note,
	}
	switch {
	case p.Engine == Ideal:
		c.Source = idealSource
	case p.engine.Note != nil:
		c.Note = joined(c.Note, p.engine.Note(p.request(1)))
	}
	if p.Memory > 0 {
		memory, weights := p.Memory, p.weights()
		c.MemoryBytes, c.WeightBytes = &memory, &weights
	}
	if full, err := p.bytes(nil, tokens, 1); err == nil {
		c.FullBytes = &full
	}
	bytes := p.bytesOf(pipeline, &c)
	one, err := bytes(tokens, 1)
	if err != nil {
		c.Reason = err.Error()
		return c
	}
	all, err := bytes(tokens, p.Batch)
	if err != nil {
		c.Reason = err.Error()
		return c
	}
	c.CacheBytes, c.BatchBytes = &one, &all
	c.GrowingBytesPerToken, c.ConstantBytes = growth(bytes)
	if p.Memory > 0 {
		c.MaxBatch = largest(mostBatch, p.left, func(n int) (int64, error) { return bytes(tokens, n) })
		c.MaxContext = largest(mostTokens, p.left, func(n int) (int64, error) { return bytes(n, p.Batch) })
	}
	return c
}

// joined puts two notes together; either may be empty.
func joined(a, b string) string { return strings.Trim(a+"; "+b, "; ") }

// bytesFunc is what a cache takes after prompts of so many tokens of so many sequences.
type bytesFunc func(tokens, batch int) (int64, error)

// bytesOf is that of a pipeline: by its parameters, or else by the share of the full cache that records have measured.
func (p *planner) bytesOf(pipeline *method.Pipeline, c *record.Capacity) bytesFunc {
	_, err := p.bytes(pipeline, c.SeqLen, 1)
	if !errors.Is(err, method.ErrContent) || p.Engine != Ideal {
		return func(tokens, batch int) (int64, error) { return p.bytes(pipeline, tokens, batch) }
	}
	s, ok := p.shares[pipeline.Name]
	if !ok {
		return func(int, int) (int64, error) {
			return 0, fmt.Errorf("%w: --records takes the share of a run that measured it", err)
		}
	}
	c.Note = joined(c.Note, s.note())
	return func(tokens, batch int) (int64, error) {
		full, err := p.bytes(nil, tokens, batch)
		return int64(math.Round(s.of * float64(full))), err
	}
}

// bytes is what the engine holds of a pipeline, nil for the full cache.
func (p *planner) bytes(pipeline *method.Pipeline, tokens, batch int) (int64, error) {
	if p.Engine == Ideal {
		n, err := p.ideal(pipeline, tokens)
		if err == nil && n > math.MaxInt64/int64(batch) {
			err = errTooLarge
		}
		return int64(batch) * n, err
	}
	r := p.request(batch)
	if pipeline != nil && !pipeline.Baseline() {
		if !pipeline.CodeOf(p.engine.Repository) {
			return 0, fmt.Errorf("%s %s has no such cache: the engine %s has its bytes", p.engine.Name, p.engine.Version, Ideal)
		}
		var err error
		if r.Rows, err = p.rows(pipeline); err != nil {
			return 0, err
		}
	}
	return p.engine.Bytes(r, tokens)
}

// request is what an engine is to hold of the full cache.
func (p *planner) request(batch int) engine.Request {
	return engine.Request{Model: p.Model, Batch: batch, Elem: p.DType.Bytes, State: p.state, FullWindows: p.FullWindows, InFlight: p.InFlight}
}

// errTooLarge refuses what no number of bytes says.
var errTooLarge = errors.New("more than 8 EiB")

// ideal is what the stores of one sequence hold.
func (p *planner) ideal(pipeline *method.Pipeline, tokens int) (int64, error) {
	if pipeline == nil {
		pipeline = fullPipeline()
	}
	h := shapes(p.Model, p.Name, tokens)
	rest := besides(p.Model, tokens, p.state, p.DType.Bytes)
	if len(h.Layers) == 0 {
		if !pipeline.Baseline() {
			return 0, errors.New("the model caches no keys")
		}
		return rest, nil
	}
	n, err := Cell{Trace: h, Pipeline: pipeline, SeqLen: tokens, Layers: h.Layers}.size(p.DType.Layout)
	return n + rest, err
}

// fullPipeline is the full cache's.
func fullPipeline() *method.Pipeline {
	ps, err := method.Parse([]string{"full"}, []method.Entries{{Percent: 100}})
	if err != nil {
		panic(err)
	}
	return ps[0]
}

// rows are the bytes of a token's keys and values in the format that a pipeline stores them in.
func (p *planner) rows(pipeline *method.Pipeline) (func(layer int) (int64, int64), error) {
	h := shapes(p.Model, p.Name, 1)
	keys, values := map[int]int64{}, map[int]int64{}
	c := Cell{Trace: h, Pipeline: pipeline, SeqLen: 1, Layers: h.Layers}
	for _, layer := range h.Layers {
		s, err := pipeline.Size(c.forMethod(0, nil, layer), []int{layer}, p.DType.Layout)
		if err != nil {
			return nil, err
		}
		keys[layer], values[layer] = s.Row()
	}
	return func(layer int) (int64, int64) { return keys[layer], values[layer] }, nil
}

// growthLength is beyond every window, and a multiple of every block, chunk and group that a power of two divides.
const growthLength = 1 << 22

// growth is what each further token of a long prompt adds, and what does not grow: nil where bytes are no straight line
// there.
func growth(bytes bytesFunc) (perToken *float64, constant *int64) {
	var at [3]int64
	for i := range at {
		var err error
		if at[i], err = bytes(growthLength<<i, 1); err != nil {
			return nil, nil
		}
	}
	slope := float64(at[1]-at[0]) / growthLength
	if float64(at[2]-at[1]) != 2*slope*growthLength {
		return nil, nil
	}
	rest := at[0] - (at[1] - at[0])
	return &slope, &rest
}

// share is the part of the full cache that a run measured of a pipeline.
type share struct {
	of     float64
	record record.Record
}

// sharesOf are those of records, of each pipeline at the longest length that was measured; of several the largest.
func sharesOf(records []record.Record) map[string]share {
	shares := map[string]share{}
	for _, r := range records {
		if r.Status != record.OK || r.CacheBytes == nil || r.CacheBytesFull == nil || *r.CacheBytesFull == 0 {
			continue
		}
		s := share{float64(*r.CacheBytes) / float64(*r.CacheBytesFull), r}
		known, ok := shares[r.Pipeline]
		if !ok || r.SeqLen > known.record.SeqLen || r.SeqLen == known.record.SeqLen && s.of > known.of {
			shares[r.Pipeline] = s
		}
	}
	return shares
}

// note says where the share comes from.
func (s share) note() string {
	return fmt.Sprintf("the share of the full cache that %s had at %d tokens, %.1f %%: it depends on the content", s.record.Trace, s.record.SeqLen, 100*s.of)
}
