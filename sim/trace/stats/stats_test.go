package stats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"kvgauge/sim/trace"
)

// subject is the header and rows of a trace to measure.
type subject struct {
	trace.Header
	read func(layer, tokens int) (*trace.Layer, error)
}

// handmade is a trace of two layers, 2 query heads on 1 KV head of 4 dimensions, whose rows f gives.
func handmade(tokens, queries int, f func(layer int, kind string, token int) [4]float32) *subject {
	plain := trace.Attention{QHeads: 2, KVHeads: 1, QKDim: 4, VDim: 4, Scale: 0.5, RopeFactor: 1}
	return shaped(tokens, queries, []trace.Attention{plain, plain}, func(layer int, kind string, _, token int) []float32 {
		row := f(layer, kind, token)
		return row[:]
	})
}

// shaped is a trace of layers with attention of their own, whose rows f gives.
func shaped(tokens, queries int, attention []trace.Attention, f func(layer int, kind string, head, token int) []float32) *subject {
	s := &subject{Header: trace.Header{
		Name: "handmade", NumLayers: len(attention), Tokens: tokens, Queries: queries, Attention: attention,
	}}
	var held []*trace.Layer
	for layer, a := range attention {
		heads := func(kind string, n, first int) [][]float32 {
			rows := make([][]float32, n)
			for h := range rows {
				for i := first; i < tokens; i++ {
					rows[h] = append(rows[h], f(layer, kind, h, i)...)
				}
			}
			return rows
		}
		s.Layers = append(s.Layers, layer)
		held = append(held, &trace.Layer{
			K: heads("k", a.KVHeads, 0), V: heads("v", a.KVHeads, 0), Q: heads("q", a.QHeads, tokens-queries), FirstQuery: tokens - queries,
		})
	}
	s.read = func(layer, tokens int) (*trace.Layer, error) {
		if layer >= len(held) {
			return nil, fmt.Errorf("layer %d: not held", layer)
		}
		return held[layer].Prefix(tokens, &attention[layer]), nil
	}
	return s
}

func open(t testing.TB, name string, o trace.Options) *subject {
	t.Helper()
	tr, err := trace.Open(name, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return &subject{tr.Header, func(layer, tokens int) (*trace.Layer, error) { return tr.Read(layer, tokens, 0) }}
}

func statsOf(t testing.TB, tr *subject, o Options) *Stats {
	t.Helper()
	s, err := measure(context.Background(), &tr.Header, tr.read, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// closeTo fails unless a figure is there and lies between lo and hi.
func closeTo(t testing.TB, what string, got *float64, lo, hi float64) {
	t.Helper()
	if got == nil {
		t.Errorf("%s: nil, want %g to %g", what, lo, hi)
	} else if !(lo <= *got && *got <= hi) {
		t.Errorf("%s: %.4g, want %g to %g", what, *got, lo, hi)
	}
}

// TestStatsOfSmolLM2 holds Measure against figures of the same file that were computed by other code
// (the file's notes give them to two digits, over all queries of the second half).
func TestStatsOfSmolLM2(t *testing.T) {
	tr, err := trace.Open("smollm2", trace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	s, err := Measure(context.Background(), tr, Options{})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		layer                    int
		sink, entropy, heavy, qc [2]float64
	}{
		{0, [2]float64{0, 0.01}, [2]float64{8.2, 8.4}, [2]float64{0.30, 0.32}, [2]float64{0.73, 0.76}},
		{1, [2]float64{0, 0.01}, [2]float64{5.6, 5.8}, [2]float64{0.69, 0.71}, [2]float64{0.74, 0.78}},
		{14, [2]float64{0.35, 0.40}, [2]float64{4.2, 4.7}, [2]float64{0.7, 0.82}, [2]float64{0.84, 0.90}},
		{15, [2]float64{0.35, 0.40}, [2]float64{4.2, 4.7}, [2]float64{0.7, 0.82}, [2]float64{0.84, 0.90}},
		{28, [2]float64{0.35, 0.40}, [2]float64{4.2, 4.7}, [2]float64{0.7, 0.82}, [2]float64{0.84, 0.90}},
		{29, [2]float64{0.22, 0.25}, [2]float64{4.2, 4.7}, [2]float64{0.7, 0.82}, [2]float64{0.84, 0.90}},
	}
	for i, tt := range tests {
		l := s.Layers[i]
		if l.Layer != tt.layer {
			t.Fatalf("layer %d at %d, want %d", l.Layer, i, tt.layer)
		}
		name := fmt.Sprintf("layer %d ", l.Layer)
		closeTo(t, name+"sink", l.SinkMass, tt.sink[0], tt.sink[1])
		closeTo(t, name+"entropy", l.EntropyBits, tt.entropy[0], tt.entropy[1])
		closeTo(t, name+"heavy", l.HeavyMass, tt.heavy[0], tt.heavy[1])
		closeTo(t, name+"query cosine", l.QueryCosine, tt.qc[0], tt.qc[1])
		closeTo(t, name+"K dims", &l.KeyDims, 29, 37)
		closeTo(t, name+"V dims", &l.ValueDims, 32, 92)
		closeTo(t, name+"K dims before the embedding", &l.Spectra.KeyPre.Dims90, 1, l.KeyDims/3)
	}
	if s.KVDims != 192 || s.Queries != 128 || s.Tokens != 1024 || s.FitTokens != 512 {
		t.Errorf("shape %d %d %d", s.KVDims, s.Queries, s.Tokens)
	}
}

// TestStatsOfUniformAttention: with equal keys every figure is a closed form.
func TestStatsOfUniformAttention(t *testing.T) {
	tr := handmade(128, 128, func(_ int, kind string, i int) [4]float32 {
		if kind == "v" { // two directions of equal energy
			return [4]float32{float32(i % 2), 0, 0, float32(1 - i%2)}
		}
		return [4]float32{1, 0, 0, 0}
	})
	tr.Needles = []trace.Needle{{Layer: 1, Key: 3, Query: 99}, {Layer: 1, Key: 3, Query: 127}}
	s := statsOf(t, tr, Options{Queries: 1})
	f := s.Layers[1].Figures
	near := func(what string, got *float64, want float64) { t.Helper(); closeTo(t, what, got, want-1e-9, want+1e-9) }
	near("sink", f.SinkMass, 1./128)
	near("sink4", f.Sink4Mass, 4./128)
	near("entropy", f.EntropyBits, 7)
	near("heavy", f.HeavyMass, 32./128)
	near("local", f.LocalMass, 64./128)
	near("query cosine", f.QueryCosine, 1)
	near("K dims", &f.KeyDims, 1)
	near("V dims", &f.ValueDims, 2)
	near("value drift", f.ValueCosine64, 1)
	near("attention similarity", f.AttentionSimilarity, 1)
	near("value similarity", f.ValueSimilarity, 1)
	near("needle mass", f.NeedleMass, 1./100) // Queries 1 samples the first of two
	if f.KeyCosine64 != nil {
		t.Errorf("keys that are all their mean have a cosine of %g", *f.KeyCosine64)
	}
	if f.Needles != 2 || s.Mean.Needles != 2 || s.Layers[0].NeedleMass != nil || s.Layers[0].AttentionSimilarity != nil {
		t.Errorf("needles %d, mean %d, layer 0 %+v", f.Needles, s.Mean.Needles, s.Layers[0])
	}
}

// TestStatsUndoRotation: keys that are constant but for a mean-free sign have a drift cosine of 1 before
// the rotary embedding, whatever the embedding's style and offset are.
func TestStatsUndoRotation(t *testing.T) {
	for _, style := range []string{"neox", "gptj"} {
		freq := []float64{1, 0.3}
		tr := handmade(256, 1, func(_ int, kind string, i int) [4]float32 {
			x := [4]float64{1, 2, 3, 4}
			if i/64%2 == 1 {
				x = [4]float64{-1, -2, -3, -4}
			}
			if kind != "k" {
				return [4]float32{1}
			}
			for p, w := range freq {
				a, b := p, p+2
				if style == "gptj" {
					a, b = 2*p, 2*p+1
				}
				sin, cos := math.Sincos(float64(i+5) * w)
				x[a], x[b] = x[a]*cos-x[b]*sin, x[a]*sin+x[b]*cos
			}
			return [4]float32{float32(x[0]), float32(x[1]), float32(x[2]), float32(x[3])}
		})
		tr.Attention[0].Rope, tr.PositionOffset = trace.Rope{Style: style, Dims: 4, InvFreq: freq}, 5
		closeTo(t, style, statsOf(t, tr, Options{}).Layers[0].KeyCosine64, -1, -0.999)
	}
}

// TestStatsOfFewQueries: a trace that holds one query has no adjacent ones, and figures of none are null.
func TestStatsOfFewQueries(t *testing.T) {
	row := func(_ int, _ string, i int) [4]float32 { return [4]float32{1, float32(i), 0, 0} }
	s := statsOf(t, handmade(40, 1, row), Options{})
	if s.Queries != 1 || s.Mean.SinkMass == nil || s.Mean.QueryCosine != nil || s.Mean.KeyCosine64 != nil {
		t.Errorf("one query of 40 tokens: %+v", s.Mean)
	}
	s = statsOf(t, handmade(40, 1, row), Options{Tokens: 20})
	if s.Queries != 0 || s.Mean.SinkMass != nil || s.Mean.AttentionSimilarity != nil || s.Mean.KeyDims != 1 {
		t.Errorf("no query in 20 tokens: %+v", s.Mean)
	}
	b, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(b), `"sink_mass":null`) {
		t.Errorf("%s, %v", b, err)
	}
}

func TestStatsDoNotDependOnThreads(t *testing.T) {
	name := "stories260k"
	if long() {
		name = "bytelm" // eight times as wide
	}
	tr := open(t, name, trace.Options{})
	one, three := statsOf(t, tr, Options{Tokens: 200, Returns: true}), statsOf(t, tr, Options{Tokens: 200, Returns: true, Threads: 3})
	if !reflect.DeepEqual(one, three) {
		t.Errorf("one thread %+v, three %+v", one.Mean, three.Mean)
	}
}

func TestStatsErrors(t *testing.T) {
	tr := handmade(8, 8, func(int, string, int) [4]float32 { return [4]float32{1} })
	if _, err := measure(context.Background(), &tr.Header, tr.read, Options{Tokens: 9}); err == nil || !strings.Contains(err.Error(), "it holds 8") {
		t.Errorf("9 of 8 tokens: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := measure(ctx, &tr.Header, tr.read, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
