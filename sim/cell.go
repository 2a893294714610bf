package sim

import (
	"errors"
	"fmt"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/method"
	"kvgauge/sim/record"
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
	Layers    []int     // the model's own numbers
	Windows   int       // prefixes whose errors are averaged
	External  *External // nil: the pipeline is one of methods
	Target    int64     // bytes of an equal-bytes run, 0 otherwise
	Knob      string    // method:parameter that was set for it
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

// owners are the layers with keys and values of their own: what a pipeline reduces.
func (c Cell) owners() []int {
	if len(c.borrowers()) == 0 {
		return c.Layers
	}
	return slices.DeleteFunc(slices.Clone(c.Layers), func(l int) bool { return c.Trace.At(l).Borrows })
}

// borrowers are the layers that read the keys and values of others, some of the layers given.
func (c Cell) borrowers(of ...int) (layers []int) {
	for _, l := range c.Layers {
		if a := c.Trace.At(l); a.Borrows && (of == nil || slices.Contains(of, a.KVFrom)) {
			layers = append(layers, l)
		}
	}
	return layers
}

// fullBytes is the f16 cache of the trace's own heads: of a layer with a window or chunks the ring of its rows. States of
// layers without keys count, whichever layers are measured.
func (c Cell) fullBytes() int64 {
	n := c.Trace.StateBytes()
	for _, layer := range c.Layers {
		n += c.layerBytes(layer, c.held(layer))
	}
	return n
}

// held is how many tokens full holds of a layer.
func (c Cell) held(layer int) int {
	if ring := c.Trace.At(layer).Ring(); ring > 0 {
		return min(ring, c.SeqLen)
	}
	return c.SeqLen
}

// layerBytes is the f16 cache of a layer's own heads, of so many tokens; nothing where they are another layer's.
func (c Cell) layerBytes(layer, tokens int) int64 {
	if c.Trace.At(layer).Borrows {
		return 0
	}
	return 2 * int64(tokens) * int64(c.Trace.At(layer).RowNumbers())
}

// outputNumbers is how many numbers the attention outputs of a token take in the layer where they are most.
func (c Cell) outputNumbers() int {
	n := 0
	for _, layer := range c.Layers {
		a := c.Trace.At(layer)
		n = max(n, a.QHeads*a.VDim)
	}
	return n
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
		first = min(first, w.prompt()-w.lateQueries(), w.firstStep())
		for _, g := range w.kinds() {
			first = min(first, w.Pipeline.FirstQuery(w.forMethod(o.Seed, nil, g[0]), c.calibrated(o)))
		}
	}
	return max(first, c.Trace.FirstQuery())
}

// calibrated says whether the cell's pipeline fits maps on another trace.
func (c Cell) calibrated(o Options) bool { return o.Calibrate[c.Trace] != nil && c.Pipeline.Fits() }

// lateQueries is how many of the last prompt queries decide which keys are minor.
func (c Cell) lateQueries() int { return min(lateWindow, c.prompt()/4) }

// timed says whether latency is measured in the cell.
func (c Cell) timed(o Options) bool { return !o.NoLatency && c.Decode > 0 && !c.result().dense() }

// target is the size that the cell's knob is set to: that of all in an equal-bytes run, else what the pipeline's budget is a
// share of; nil where it stays as it is.
func (c Cell) target(o Options) *Target {
	if o.AtBytes == nil && c.Pipeline.Share > 0 {
		return &Target{Share: c.Pipeline.Share}
	}
	return o.AtBytes
}

// result is the external result on the cell's prefix, nil where there is none.
func (c Cell) result() *externalResult {
	if c.External == nil {
		return nil
	}
	return c.External.at(c.Trace, c.SeqLen, c.Decode)
}

// groups returns the layers that share a store: those that the pipeline makes share, and after them those that borrow the
// rows of any. Layers that would share but differ in heads, widths, window or chunk each have their own.
func (c Cell) groups() [][]int {
	var groups [][]int
	for _, group := range c.Pipeline.Groups(c.owners(), c.Trace.NumLayers) {
		if c.alike(group) {
			groups = append(groups, group)
			continue
		}
		groups = slices.AppendSeq(groups, slices.Chunk(group, 1))
	}
	if len(c.borrowers()) > 0 {
		for i, group := range groups {
			groups[i] = slices.Concat(group, c.borrowers(group...))
		}
	}
	return groups
}

// merged says whether the pipeline makes the layers of a group share, more than one of which has rows of its own.
func (c Cell) merged(group []int) bool { return len(group) > 1 && !c.Trace.At(group[1]).Borrows }

// alike says whether layers can share a store.
func (c Cell) alike(group []int) bool {
	first := c.Trace.At(group[0])
	return !slices.ContainsFunc(group, func(layer int) bool {
		a := c.Trace.At(layer)
		return !a.Same(first) || a.Window != first.Window || a.Chunk != first.Chunk
	})
}

// apart says whether a layer would share a store with layers that it is too unlike.
func (c Cell) apart(layer int) bool {
	groups := c.Pipeline.Groups(c.owners(), c.Trace.NumLayers)
	i := slices.IndexFunc(groups, func(g []int) bool { return slices.Contains(g, layer) })
	return i >= 0 && !c.alike(groups[i])
}

// windowed are those of some layers with a window or chunks.
func (c Cell) windowed(of []int) (layers []int) {
	for _, layer := range of {
		if c.Trace.At(layer).Ring() > 0 {
			layers = append(layers, layer)
		}
	}
	return layers
}

// keyless are the layers of the model that hold no keys of their own: those with states, and those that borrow.
func (c Cell) keyless() (layers []int) {
	for _, s := range c.Trace.States {
		layers = append(layers, s.Layer)
	}
	for i, layer := range c.Trace.Layers {
		if c.Trace.Attention[i].Borrows {
			layers = append(layers, layer)
		}
	}
	return layers
}

// shared is the most layers that share a store.
func (c Cell) shared() int64 {
	n := 1
	for _, group := range c.groups() {
		n = max(n, len(group))
	}
	return int64(n)
}

// kinds are groups of layers that stand for all: one of each kind of attention that a method's applying depends on.
func (c Cell) kinds() (groups [][]int) {
	type kind struct {
		qHeads, kvHeads, qk, v, rank, ring, ropeDims, layers int
		apart                                                bool
	}
	seen := map[kind]bool{}
	for _, g := range c.groups() {
		a := c.Trace.At(g[0])
		k := kind{a.QHeads, a.KVHeads, a.QKDim, a.VDim, a.Rank, a.Ring(), len(a.Rope.InvFreq), len(g), c.apart(g[0])}
		if !seen[k] {
			seen[k] = true
			groups = append(groups, g)
		}
	}
	return groups
}

// forMethod is what a method may know of the cell and of a layer, or of those that share its store.
func (c Cell) forMethod(seed uint64, pool *kernel.Pool, layer int) method.Cell {
	return c.ofLayer(c.ofAll(seed, pool), layer, c.apart(layer))
}

// ofAll is what a method may know of the cell whatever the layer.
func (c Cell) ofAll(seed uint64, pool *kernel.Pool) method.Cell {
	var repeatEnd int
	if r := c.Trace.Repeat; r.First > 0 {
		repeatEnd = r.Last + 1
	}
	owners := c.owners()
	return method.Cell{
		Repeat: c.Trace.Repeat.First, RepeatEnd: repeatEnd,
		Layers: owners, Left: c.windowed(owners), NumLayers: c.Trace.NumLayers, Stateful: c.keyless(),
		SeqLen: c.SeqLen, Decode: c.Decode, FirstQuery: c.Trace.FirstQuery(), HasRope: c.Trace.HasRope(),
		Seed: seed, Pool: pool,
	}
}

// ofLayer adds what it may know of a layer, which is apart where it would share a store with layers that it is too unlike.
func (c Cell) ofLayer(known method.Cell, layer int, apart bool) method.Cell {
	a := c.Trace.At(layer)
	known.Ring, known.Apart, known.QHeads, known.HeadDim = a.Ring(), apart, a.QHeads, a.QKDim
	known.RopeDims, known.Heads, known.Dim, known.VDim, known.Latent = 2*len(a.Rope.InvFreq), a.KVHeads, a.KeyDim(), a.ValueDim(), a.Latent()
	return known
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
	if c.External != nil {
		c.SeqLen -= i * c.Decode
		r := c.result()
		if r == nil {
			return c, fmt.Errorf("no external result at %d tokens", c.SeqLen)
		}
		c.Pipeline = r.pipeline
		return c, nil
	}
	var err error
	if c.Pipeline, err = c.Pipeline.Counted(c.SeqLen); err != nil {
		return c, err
	}
	c.SeqLen -= i * c.Decode
	return c, nil
}

// fit says why the pipeline does not apply to some of the cell's layers.
func (c Cell) fit(seed uint64) error {
	if err := c.fitBorrowed(); err != nil {
		return err
	}
	shared, kinds := false, c.kinds()
	for _, g := range kinds {
		shared = shared || c.merged(g)
	}
	for _, g := range kinds {
		known := c.forMethod(seed, nil, g[0])
		if known.Apart && !shared {
			return errNoneAlike
		}
		if err := c.Pipeline.Fit(known); err != nil {
			return err
		}
	}
	return nil
}

// errNoneAlike refuses a pipeline that would make layers share a cache which are all too unlike.
var errNoneAlike = errors.New("no layers that would share a cache are alike in heads, widths, window and chunk")

// fitBorrowed refuses to make layers share a cache where the model makes them share already: whose rows would be whose is
// not defined.
func (c Cell) fitBorrowed() error {
	borrowers := c.borrowers()
	if len(borrowers) == 0 {
		return nil
	}
	merges, err := c.Pipeline.Merges(c.Layers, c.Trace.NumLayers)
	if merges && err == nil {
		err = fmt.Errorf("makes layers share a cache, which layers of the model do already (kv_from of %s)", record.LayerList(borrowers))
	}
	return err
}

// most is the largest number of any kind of layer.
func (c Cell) most(seed uint64, number func(method.Cell) int) int64 {
	n := 0
	for _, g := range c.kinds() {
		n = max(n, number(c.forMethod(seed, nil, g[0])))
	}
	return int64(n)
}

// applies says why the pipeline does not apply to the cell, or to one of its windows.
func (c Cell) applies(seed uint64) error {
	for i := range c.Windows {
		w, err := c.window(i)
		if err == nil {
			err = w.fit(seed)
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
