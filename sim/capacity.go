package sim

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"kvgauge/sim/arch"
	"kvgauge/sim/engine"
	"kvgauge/sim/method"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
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

// planner is one plan, of one rank; each pipeline has a copy.
type planner struct {
	CapacityOptions
	engine engine.Engine // zero of Ideal
	state  int           // bytes of an element of the model's own type in states
	shares map[string]share
	left   int64 // bytes of memory beside the weights, for each sequence

	full   *method.Pipeline
	shapes *trace.Header // of one token
	rows   *format       // of the pipeline that is planned, once asked for
}

// format is the bytes of a token's keys and of its values in each layer, or why it does not apply.
type format struct {
	keys, values map[int]int64
	err          error
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
	p.full, p.shapes = fullPipeline(), shapes(p.Model, p.Name, 1)
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
			return nil, inOption("memory", bytesText(o.Memory),
				"the weights of a rank take %s: want more memory, more ranks ("+record.Opt+"tp), or their real size ("+record.Opt+"weights)", bytesText(p.weights()))
		}
	}
	if o.Batch > 1 {
		p.left /= int64(o.Batch)
	}
	lines := make([]record.Capacity, len(o.Lengths)*len(o.Pipelines))
	full := make([]*int64, len(o.Lengths))
	for i, n := range o.Lengths {
		if bytes, _, err := p.bytes(nil, n); err == nil {
			full[i] = &bytes
		}
	}
	var done sync.WaitGroup
	for k, pipeline := range o.Pipelines {
		done.Go(func() {
			of := *p
			common := of.atAnyLength(pipeline)
			for i, n := range o.Lengths {
				c := &lines[i*len(o.Pipelines)+k]
				*c = common
				c.FullBytes = full[i]
				of.at(n, pipeline, c)
			}
		})
	}
	done.Wait()
	if !slices.ContainsFunc(lines, func(c record.Capacity) bool { return c.CacheBytes != nil }) {
		return nil, record.Input(fmt.Errorf("nothing to plan: %s of %s at %s: %s", lines[0].Pipeline, o.Name, record.Count(lines[0].SeqLen, "token", ""), lines[0].Reason))
	}
	return lines, nil
}

// weights are those of a rank.
func (p *planner) weights() int64 { return (p.Weights + int64(p.Ranks) - 1) / int64(p.Ranks) }

// atAnyLength is what the lines of a pipeline have in common.
func (p *planner) atAnyLength(pipeline *method.Pipeline) record.Capacity {
	c := record.Capacity{
		Model: p.Name, Engine: p.Engine, Pipeline: pipeline.Name, Family: pipeline.Family, Batch: p.Batch,
		DType: p.DType.Name, Ranks: p.Ranks, EngineVersion: p.engine.Version, Source: p.engine.Source, Note: p.Note,
	}
	switch {
	case p.Engine == Ideal:
		c.Source = idealSource
	case p.engine.Note != nil:
		c.Note = JoinNotes(c.Note, p.engine.Note(p.request()))
	}
	bytes := func(tokens int) (int64, error) {
		n, _, err := p.bytes(pipeline, tokens)
		return n, err
	}
	c.GrowingBytesPerToken, c.ConstantBytes = growth(bytes)
	if p.Memory > 0 {
		memory, weights := p.Memory, p.weights()
		c.MemoryBytes, c.WeightBytes = &memory, &weights
		c.MaxContext = largest(mostTokens, p.likelyContext(c, bytes), p.left, bytes)
	}
	return c
}

// likelyContext is about how many tokens fit.
func (p *planner) likelyContext(c record.Capacity, bytes func(tokens int) (int64, error)) int {
	constant, perToken := 0.0, 0.0
	if c.GrowingBytesPerToken != nil {
		constant, perToken = float64(*c.ConstantBytes), *c.GrowingBytesPerToken
	} else if n, err := bytes(growthLength); err == nil {
		perToken = float64(n) / growthLength
	}
	return int(min(max(0, float64(p.left)-constant)/perToken, mostTokens))
}

// at adds what the cache takes after so many tokens, or why that is not known.
func (p *planner) at(tokens int, pipeline *method.Pipeline, c *record.Capacity) {
	c.SeqLen = tokens
	one, note, err := p.bytes(pipeline, tokens)
	if err == nil && one > math.MaxInt64/int64(p.Batch) {
		err = errors.New("more than 8 EiB")
	}
	if err != nil {
		c.Reason = err.Error()
		c.GrowingBytesPerToken, c.ConstantBytes, c.MaxContext = nil, nil, nil
		return
	}
	all := int64(p.Batch) * one
	c.CacheBytes, c.BatchBytes, c.Note = &one, &all, JoinNotes(c.Note, note)
	if p.Memory > 0 && one > 0 {
		most := (p.Memory - p.weights()) / one
		c.MaxBatch = &most
	}
}

// JoinNotes puts two notes together; either may be empty.
func JoinNotes(a, b string) string { return strings.Trim(a+"; "+b, "; ") }

// bytes is what the engine holds of a pipeline for one sequence, nil for the full cache: by the pipeline's parameters, or
// else by the share of the full cache that records have measured, which the note then says.
func (p *planner) bytes(pipeline *method.Pipeline, tokens int) (n int64, note string, err error) {
	if p.Engine != Ideal {
		n, err = p.reserved(pipeline, tokens)
		return n, "", err
	}
	n, err = p.ideal(pipeline, tokens)
	if !errors.Is(err, method.ErrContent) {
		return n, "", err
	}
	s, ok := p.shares[pipeline.Name]
	if !ok {
		return 0, "", fmt.Errorf("%w: --records takes the share of a run that measured it", err)
	}
	n, err = p.ideal(nil, tokens)
	return int64(math.Round(s.of * float64(n))), s.note(), err
}

// reserved is what an engine holds.
func (p *planner) reserved(pipeline *method.Pipeline, tokens int) (int64, error) {
	r := p.request()
	if pipeline != nil && !pipeline.Baseline() {
		if !pipeline.CodeOf(p.engine.Repository) {
			return 0, fmt.Errorf("%s %s has no such cache: the engine %s has its bytes", p.engine.Name, p.engine.Version, Ideal)
		}
		f := p.format(pipeline)
		if f.err != nil {
			return 0, f.err
		}
		r.Rows = func(layer int) (int64, int64) { return f.keys[layer], f.values[layer] }
	}
	return p.engine.Bytes(r, tokens)
}

// request is what an engine is to hold of the full cache.
func (p *planner) request() engine.Request {
	return engine.Request{Model: p.Model, Elem: p.DType.Bytes, State: p.state, FullWindows: p.FullWindows, InFlight: p.InFlight}
}

// ideal is what the stores of one sequence hold.
func (p *planner) ideal(pipeline *method.Pipeline, tokens int) (int64, error) {
	if pipeline == nil {
		pipeline = p.full
	}
	h := *p.shapes
	h.Tokens, h.Queries = tokens, tokens
	rest := besides(p.Model, tokens, p.state, p.DType.Bytes)
	if len(h.Layers) == 0 {
		if !pipeline.Baseline() {
			return 0, errors.New("the model caches no keys")
		}
		return rest, nil
	}
	n, err := Cell{Trace: &h, Pipeline: pipeline, SeqLen: tokens, Layers: h.Layers}.size(p.DType.Layout)
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

// format is that of a pipeline.
func (p *planner) format(pipeline *method.Pipeline) *format {
	if p.rows != nil {
		return p.rows
	}
	f := &format{keys: map[int]int64{}, values: map[int]int64{}}
	c := Cell{Trace: p.shapes, Pipeline: pipeline, SeqLen: 1, Layers: p.shapes.Layers}
	for _, layer := range p.shapes.Layers {
		if c.Trace.At(layer).Borrows {
			continue
		}
		s, err := pipeline.Size(c.forMethod(0, nil, layer), []int{layer}, p.DType.Layout)
		if err != nil {
			f.err = err
			break
		}
		f.keys[layer], f.values[layer] = s.Row()
	}
	p.rows = f
	return f
}

// growthLength is a number of tokens beyond every window, 2^14 * 5^4: a multiple of blocks and groups that are powers of two,
// and of which shares in hundredths of a percent are whole.
const growthLength = 10_240_000

// growth is what each further token of a long prompt adds, and what does not grow: nil where bytes are no straight line
// there.
func growth(bytes func(tokens int) (int64, error)) (perToken *float64, constant *int64) {
	var at [3]int64
	for i := range at {
		var err error
		if at[i], err = bytes(growthLength << i); err != nil {
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
