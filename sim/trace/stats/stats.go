// Package stats measures what trace info prints of a trace: the properties of its attention, keys and values
// that reduction methods rest on. It is apart from package trace because a run reads traces and never measures
// them; it knows of a trace what a run knows, its header and rows, and so measures any source alike.
package stats

import (
	"context"
	"fmt"

	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// Options says how much of a trace is measured; the zero value is the default.
type Options struct {
	Tokens  int  // the first so many; 0 is all
	Queries int  // sampled in each layer; 0 is 128
	Threads int  // goroutines that compute; 0 is 1. The figures do not depend on it
	Returns bool // look for keys that return, among all queries: a cost of tokens squared

	Unbalanced bool // spectra of keys and values as they are side by side, too
}

// Stats describes the attention of a trace. The attention figures are of exact causal softmax in float64,
// for queries spread evenly over those of the second half of the tokens that the trace holds. It is the
// layer's own softmax: keys outside of its window or chunk have a probability of 0, and where it has sinks
// these are in the denominator, so that the probabilities of keys add up to less than 1.
type Stats struct {
	Tokens    int     `json:"tokens"`
	Queries   int     `json:"queries"`    // sampled in each layer
	KVDims    int     `json:"kv_dims"`    // width of K, and of V, over all KV heads: the larger, of the widest layer
	FitTokens int     `json:"fit_tokens"` // that maps between layers are fitted on
	Layers    []Layer `json:"layers"`
	Mean      Figures `json:"mean"` // over the layers that have the figure; Needles is the sum, Returns of all layers together
}

// Layer are the figures of one layer, named by the model's own number.
type Layer struct {
	Layer int `json:"layer"`
	Figures
}

// Figures are the statistics of one layer, means over sampled queries and heads; nil where the trace
// does not hold what the figure needs.
type Figures struct {
	SinkMass    *float64 `json:"sink_mass"`    // probability of token 0
	Sink4Mass   *float64 `json:"sink4_mass"`   // of tokens 0 to 3
	EntropyBits *float64 `json:"entropy_bits"` // of a query's attention, where a sink of the softmax counts as one more key
	HeavyMass   *float64 `json:"heavy_mass"`   // probability of each query's 32 heaviest keys
	LocalMass   *float64 `json:"local_mass"`   // of the last 64 keys, the query's own included
	QueryCosine *float64 `json:"query_cosine"` // of a query with the one before, both as stored

	// KeyDims and ValueDims count the directions that hold 90 % of the energy of K (after the rotary
	// embedding) and of V, 0 where all rows are zero; Spectra have the whole curves.
	KeyDims   float64 `json:"key_dims"`
	ValueDims float64 `json:"value_dims"`
	Spectra   Spectra `json:"spectra"`

	// KeyCosine64 and ValueCosine64 are cosines of rows 64 tokens apart, less each head's mean row, keys
	// with their rotation undone: what stays of a text's content over that distance.
	KeyCosine64   *float64 `json:"key_cosine_64"`
	ValueCosine64 *float64 `json:"value_cosine_64"`

	// AttentionSimilarity is the cosine of a query's attention, averaged over the heads (those of
	// different layers do not correspond), with that of the layer before in the trace; ValueSimilarity the
	// linear CKA of the two layers' values (Kornblith et al. 2019, arXiv:1905.00414, section 3).
	AttentionSimilarity *float64 `json:"attention_similarity"`
	ValueSimilarity     *float64 `json:"value_similarity"`
	Adjacent

	Needles    int      `json:"needles"`     // planted in the layer and asked for within the tokens
	NeedleMass *float64 `json:"needle_mass"` // probability of a needle for the query that asks

	Returns *Returns `json:"returns"` // where the options ask for it
}

const (
	defaultQueries = 128
	heavyKeys      = 32
	localKeys      = 64
	driftTokens    = 64
)

// Measure computes the statistics of a trace. It holds the rows of two layers at a time.
func Measure(ctx context.Context, t *trace.Trace, o Options) (*Stats, error) {
	return measure(ctx, &t.Header, func(layer, tokens int) (*trace.Layer, error) { return t.Read(layer, tokens, 0) }, o)
}

// measure computes the statistics of rows that read returns as Trace.Read does.
func measure(ctx context.Context, t *trace.Header, read func(layer, tokens int) (*trace.Layer, error), o Options) (*Stats, error) {
	if o.Tokens == 0 {
		o.Tokens = t.Tokens
	}
	if o.Queries == 0 {
		o.Queries = defaultQueries
	}
	if o.Tokens < 1 || o.Tokens > t.Tokens {
		return nil, record.Input(fmt.Errorf("trace %s: %s to measure, it holds %d", t.Name, record.Count(o.Tokens, "token", ""), t.Tokens))
	}
	pool := kernel.NewPool(max(1, o.Threads))
	defer pool.Close()
	queries := sampledQueries(t, o)
	s := &Stats{Tokens: o.Tokens, Queries: len(queries), KVDims: widest(t), FitTokens: min(o.Tokens, energyRows) / 2}
	var before *layerSample
	var returns returnCounts // of all layers
	for _, layer := range t.Layers {
		l, err := read(layer, o.Tokens)
		if err != nil {
			return nil, err
		}
		f := Figures{}
		now := &layerSample{layer: layer, attention: measureAttention(ctx, t.At(layer), l, queries, pool, &f)}
		measureNeedles(ctx, t, l, layer, o, pool, &f)
		if o.Returns {
			c := measureReturns(ctx, t.At(layer), l, o.Tokens, pool)
			f.Returns = c.figures()
			returns.join(c)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if now.rows, err = measureRows(t, t.At(layer), l, o, pool, &f); err != nil {
			return nil, fmt.Errorf("trace %s: layer %d: %w", t.Name, layer, err)
		}
		now.compare(before, pool, &f)
		before = now
		s.Layers = append(s.Layers, Layer{Layer: layer, Figures: f})
	}
	s.Mean = meanFigures(s.Layers)
	s.Mean.Returns = returns.figures()
	return s, nil
}

// widest is the width of the keys or values of all heads of a layer where it is largest.
func widest(t *trace.Header) int {
	n := 0
	for i := range t.Attention {
		a := &t.Attention[i]
		n = max(n, a.KVHeads*max(a.KeyDim(), a.ValueDim()))
	}
	return n
}

// sampledQueries are the tokens whose queries are looked at, ascending.
func sampledQueries(t *trace.Header, o Options) []int {
	first := max(o.Tokens/2, t.FirstQuery())
	n := min(o.Queries, o.Tokens-first)
	var tokens []int
	for i := range max(n, 0) {
		tokens = append(tokens, first+(i+1)*(o.Tokens-first)/n-1)
	}
	return tokens
}

// layerSample is what one layer leaves for the comparison with the next.
type layerSample struct {
	layer     int
	attention [][]float64 // [sampled query][token], mean over heads
	rows      *layerRows
}

// compare fills in the similarities with the layer before, if there is one.
func (s *layerSample) compare(before *layerSample, pool *kernel.Pool, f *Figures) {
	if before == nil {
		return
	}
	var m mean
	for i, row := range s.attention {
		m.add(cosine(row, before.attention[i]))
	}
	f.AttentionSimilarity = m.value()
	tasks := []func(){func() { f.ValueSimilarity = s.rows.centered.similarity(before.rows.centered) }}
	if s.layer == before.layer+1 && s.rows.shape.Same(before.rows.shape) {
		tasks = append(tasks,
			func() { f.compareKeys(before.rows, s.rows) },
			func() { f.compareValues(before.rows, s.rows) })
	}
	together(pool, tasks)
}

// together runs tasks on the threads of a pool.
func together(pool *kernel.Pool, tasks []func()) {
	pool.Run(len(tasks), func(_, i int) { tasks[i]() })
}
