package trace

import (
	"context"
	"fmt"

	"kvgauge/sim/kernel"
)

// StatsOptions says how much of a trace is measured; the zero value is the default.
type StatsOptions struct {
	Tokens  int // the first so many; 0 is all
	Queries int // sampled in each layer; 0 is 128
	Threads int // goroutines that compute; 0 is 1. The figures do not depend on it
}

// Stats describes the attention of a trace. The attention figures are of exact causal softmax in float64,
// for queries spread evenly over those of the second half of the tokens that the trace holds.
type Stats struct {
	Tokens  int          `json:"tokens"`
	Queries int          `json:"queries"` // sampled in each layer
	KVDims  int          `json:"kv_dims"` // width of K, and of V, over all KV heads
	Layers  []LayerStats `json:"layers"`
	Mean    Figures      `json:"mean"` // over the layers that have the figure; Needles is the sum
}

// LayerStats are the figures of one layer, named by the model's own number.
type LayerStats struct {
	Layer int `json:"layer"`
	Figures
}

// Figures are the statistics of one layer, means over sampled queries and heads; nil where the trace
// does not hold what the figure needs.
type Figures struct {
	SinkMass    *float64 `json:"sink_mass"`    // probability of token 0
	Sink4Mass   *float64 `json:"sink4_mass"`   // of tokens 0 to 3
	EntropyBits *float64 `json:"entropy_bits"` // of a query's attention
	HeavyMass   *float64 `json:"heavy_mass"`   // probability of each query's 32 heaviest keys
	LocalMass   *float64 `json:"local_mass"`   // of the last 64 keys, the query's own included
	QueryCosine *float64 `json:"query_cosine"` // of a query with the one before, both as stored

	// KeyDims and ValueDims count the directions that hold 90 % of the energy of K (after the rotary
	// embedding) and of V, all KV heads side by side: eigenvectors of their uncentred Gram matrices.
	KeyDims   float64 `json:"key_dims"`
	ValueDims float64 `json:"value_dims"`

	// KeyCosine64 and ValueCosine64 are cosines of rows 64 tokens apart, less each head's mean row, keys
	// with their rotation undone: what stays of a text's content over that distance.
	KeyCosine64   *float64 `json:"key_cosine_64"`
	ValueCosine64 *float64 `json:"value_cosine_64"`

	// AttentionSimilarity is the cosine of a query's attention, averaged over the heads (those of
	// different layers do not correspond), with that of the layer before in the trace; ValueSimilarity the
	// linear CKA of the two layers' values (Kornblith et al. 2019, arXiv:1905.00414, section 3).
	AttentionSimilarity *float64 `json:"attention_similarity"`
	ValueSimilarity     *float64 `json:"value_similarity"`

	Needles    int      `json:"needles"`     // planted in the layer and asked for within the tokens
	NeedleMass *float64 `json:"needle_mass"` // probability of a needle for the query that asks
}

const (
	defaultStatsQueries = 128
	heavyKeys           = 32
	localKeys           = 64
	driftTokens         = 64
	energyShare         = 0.9
)

// Measure computes the statistics of a trace. It holds the rows of one layer at a time.
func Measure(ctx context.Context, t *Trace, o StatsOptions) (*Stats, error) {
	if o.Tokens == 0 {
		o.Tokens = t.Tokens
	}
	if o.Queries == 0 {
		o.Queries = defaultStatsQueries
	}
	if o.Tokens < 1 || o.Tokens > t.Tokens {
		return nil, fmt.Errorf("trace %s: %d tokens to measure, it holds %d", t.Name, o.Tokens, t.Tokens)
	}
	pool := kernel.NewPool(max(1, o.Threads))
	defer pool.Close()
	queries := sampledQueries(t, o)
	s := &Stats{Tokens: o.Tokens, Queries: len(queries), KVDims: t.KVHeads * t.HeadDim}
	var before *layerSample
	for _, layer := range t.Layers {
		l, err := t.Read(layer, o.Tokens)
		if err != nil {
			return nil, err
		}
		f := Figures{}
		now := &layerSample{attention: measureAttention(ctx, t, l, queries, pool, &f)}
		measureNeedles(ctx, t, l, layer, o, pool, &f)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if now.values, err = measureRows(t, l, o.Tokens, &f); err != nil {
			return nil, fmt.Errorf("trace %s: layer %d: %w", t.Name, layer, err)
		}
		now.compare(before, &f)
		before = now
		s.Layers = append(s.Layers, LayerStats{Layer: layer, Figures: f})
	}
	s.Mean = meanFigures(s.Layers)
	return s, nil
}

// sampledQueries are the tokens whose queries are looked at, ascending.
func sampledQueries(t *Trace, o StatsOptions) []int {
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
	attention [][]float64 // [sampled query][token], mean over heads
	values    *centred
}

// compare fills in the similarities with the layer before, if there is one.
func (s *layerSample) compare(before *layerSample, f *Figures) {
	if before == nil {
		return
	}
	var m mean
	for i, row := range s.attention {
		m.add(cosine(row, before.attention[i]))
	}
	f.AttentionSimilarity = m.value()
	f.ValueSimilarity = s.values.similarity(before.values)
}

// meanFigures averages each figure over the layers that have it and adds up the needles.
func meanFigures(layers []LayerStats) Figures {
	var out Figures
	average := func(of func(*Figures) **float64) {
		var m mean
		for i := range layers {
			if v := *of(&layers[i].Figures); v != nil {
				m.add(*v, true)
			}
		}
		*of(&out) = m.value()
	}
	average(func(f *Figures) **float64 { return &f.SinkMass })
	average(func(f *Figures) **float64 { return &f.Sink4Mass })
	average(func(f *Figures) **float64 { return &f.EntropyBits })
	average(func(f *Figures) **float64 { return &f.HeavyMass })
	average(func(f *Figures) **float64 { return &f.LocalMass })
	average(func(f *Figures) **float64 { return &f.QueryCosine })
	average(func(f *Figures) **float64 { return &f.KeyCosine64 })
	average(func(f *Figures) **float64 { return &f.ValueCosine64 })
	average(func(f *Figures) **float64 { return &f.AttentionSimilarity })
	average(func(f *Figures) **float64 { return &f.ValueSimilarity })
	average(func(f *Figures) **float64 { return &f.NeedleMass })
	for _, l := range layers {
		out.KeyDims += l.KeyDims / float64(len(layers))
		out.ValueDims += l.ValueDims / float64(len(layers))
		out.Needles += l.Needles
	}
	return out
}
