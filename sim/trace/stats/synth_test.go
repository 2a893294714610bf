package stats

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"kvgauge/sim/trace"
)

// TestSynthStrengths: each parameter moves the statistic that it is named after, in its direction.
func TestSynthStrengths(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	const shape = "synth:layers=2,q_heads=2,kv_heads=2,tokens=1k"
	type figures []func(Figures) float64
	tests := []struct {
		name   string
		values []float64
		rising figures
	}{
		{"sink", []float64{0, 0.8, 1.2}, figures{func(f Figures) float64 { return *f.SinkMass }}},
		{"locality", []float64{0, 1, 1.5}, figures{func(f Figures) float64 { return *f.LocalMass }}},
		{"heavy", []float64{0, 1.2, 2}, figures{func(f Figures) float64 { return *f.HeavyMass }}},
		{"drift", []float64{64, 16, 6}, figures{func(f Figures) float64 { return *f.ValueCosine64 }, func(f Figures) float64 { return *f.KeyCosine64 }}},
		{"rank", []float64{0.1, 0.2, 0.3}, figures{func(f Figures) float64 { return f.ValueDims }, func(f Figures) float64 { return f.KeyDims }}},
		{"layer_similarity", []float64{0, 0.5, 1}, figures{func(f Figures) float64 { return *f.ValueSimilarity }}},
		{"query_similarity", []float64{0.4, 0.7, 0.95}, figures{func(f Figures) float64 { return *f.QueryCosine }}},
		{"needles", []float64{0, 1, 8}, figures{func(f Figures) float64 { return float64(f.Needles) }}},
	}
	for _, tt := range tests {
		before := slices.Repeat([]float64{math.Inf(-1)}, len(tt.rising))
		for _, v := range tt.values {
			s := statsOf(t, open(t, fmt.Sprintf("%s,%s=%g", shape, tt.name, v), trace.Options{}), Options{Queries: 48, Threads: 2})
			for i, figure := range tt.rising {
				got := figure(s.Mean)
				if got <= before[i] {
					t.Errorf("%s=%g: figure %d is %.4f, no more than %.4f before", tt.name, v, i, got, before[i])
				}
				before[i] = got
			}
		}
	}
}

// TestSynthIsLikeRealTraces: with its defaults the mean figures of the synthetic trace lie between those
// of the two real traces of the default run, or near them, by a quarter of their size; dimensions are
// compared as shares of the width.
func TestSynthIsLikeRealTraces(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	const tokens = 1024
	o := Options{Tokens: tokens, Threads: 2}
	smollm2, bytelm := statsOf(t, open(t, "smollm2", trace.Options{}), o), statsOf(t, open(t, "bytelm", trace.Options{}), o)
	specs := []string{"synth:kv_heads=4,q_heads=4"} // the cost grows with the cube of the heads
	if long() {
		specs = []string{"synth", "synth:model=2,text=9"}
	}
	for _, spec := range specs {
		s := statsOf(t, open(t, spec, trace.Options{}), o)
		for name, figure := range map[string]func(*Stats) *float64{
			"sink":                 func(s *Stats) *float64 { return s.Mean.SinkMass },
			"entropy":              func(s *Stats) *float64 { return s.Mean.EntropyBits },
			"heavy":                func(s *Stats) *float64 { return s.Mean.HeavyMass },
			"local":                func(s *Stats) *float64 { return s.Mean.LocalMass },
			"query cosine":         func(s *Stats) *float64 { return s.Mean.QueryCosine },
			"K dims":               func(s *Stats) *float64 { d := s.Mean.KeyDims / float64(s.KVDims); return &d },
			"V dims":               func(s *Stats) *float64 { d := s.Mean.ValueDims / float64(s.KVDims); return &d },
			"key drift":            func(s *Stats) *float64 { return s.Mean.KeyCosine64 },
			"value drift":          func(s *Stats) *float64 { return s.Mean.ValueCosine64 },
			"attention similarity": func(s *Stats) *float64 { return s.Mean.AttentionSimilarity },
			"value similarity":     func(s *Stats) *float64 { return s.Mean.ValueSimilarity },
		} {
			a, b := *figure(smollm2), *figure(bytelm)
			closeTo(t, spec+" "+name, figure(s), 0.75*min(a, b), 1.25*max(a, b))
		}
		closeTo(t, spec+" sink of the first layer", s.Layers[0].SinkMass, 0, 0.01)
		closeTo(t, spec+" sink of the third layer", s.Layers[2].SinkMass, 0.15, 0.45)
		closeTo(t, spec+" needle", s.Mean.NeedleMass, 0.4, 0.9)
		if *s.Layers[0].EntropyBits < *s.Layers[3].EntropyBits+2 {
			t.Errorf("%s: the first layer attends with %.1f bits, the last with %.1f", spec, *s.Layers[0].EntropyBits, *s.Layers[3].EntropyBits)
		}
	}
}
