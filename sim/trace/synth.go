package trace

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
)

// synthVersion names the generator in the hash of its traces: it changes whenever a row does.
const synthVersion = 1

// companionTokens is the length of a synthetic trace's calibration companion.
const companionTokens = 512

// synth is the source of a synthetic trace.
type synth struct {
	args synthArgs
	seed uint64
	text uint64 // key of the content
	plan []Needle
	freq []float64
}

// openSynth opens the synthetic trace of a spec: synth or synth:key=value,key=value. Where the spec does
// not say how many tokens, the trace grows to the options'.
func openSynth(spec string, o Options) (*Trace, error) {
	a, given, err := parseSynth(spec)
	if err != nil {
		return nil, fmt.Errorf("trace synth: %w", err)
	}
	if !given["tokens"] && float64(o.Tokens) > a["tokens"] {
		a["tokens"] = float64(o.Tokens)
		if err := a.check(); err != nil {
			return nil, fmt.Errorf("trace synth: %w", err)
		}
	}
	s := &synth{args: a, seed: max(1, o.Seed)}
	s.text = keyed(forText, s.seed, uint64(a.int("text")))
	s.plan = planNeedles(s.text, a.int("layers"), a.int("kv_heads"), a.int("needles"))
	d := a.int("head_dim")
	for p := range d / 2 {
		s.freq = append(s.freq, math.Pow(a["theta"], -2*float64(p)/float64(d)))
	}
	tokens := a.int("tokens")
	t := &Trace{
		Name:      a.canonical(given2(given), nil),
		Model:     fmt.Sprintf("synth-%d", a.int("model")),
		NumLayers: a.int("layers"),
		QHeads:    a.int("q_heads"),
		KVHeads:   a.int("kv_heads"),
		HeadDim:   d,
		Tokens:    tokens,
		Queries:   tokens,
		Scale:     1 / math.Sqrt(float64(d)),
		Rope:      Rope{Theta: a["theta"], Style: "neox", Dims: d, InvFreq: s.freq},
		Needles:   needlesOf(s.plan, tokens),
		src:       s,
	}
	for l := range t.NumLayers {
		t.Layers = append(t.Layers, l)
	}
	t.Source = fmt.Sprintf("synthetic, not of a trained model: %s, seed %d, generator version %d", a.canonical(nil, nil), s.seed, synthVersion)
	return t, nil
}

func given2(g map[string]bool) map[string]bool {
	if g["tokens"] {
		return map[string]bool{"tokens": true}
	}
	return nil
}

// synthCompanion returns the spec of the trace that maps are fitted on: another, short text of the same
// model. It is empty where the spec is not valid.
func synthCompanion(spec string) string {
	a, _, err := parseSynth(spec)
	if err != nil {
		return ""
	}
	a["text"]++
	a["tokens"] = companionTokens
	return a.canonical(nil, nil)
}

// read implements source.
func (s *synth) read(layer, tokens int) (*Layer, error) {
	if layer < 0 || layer >= s.args.int("layers") {
		return nil, fmt.Errorf("layer %d: not held", layer)
	}
	m := newLayerModel(s.args, layer)
	rows := func(heads int) [][]float32 {
		m := make([][]float32, heads)
		for h := range m {
			m[h] = make([]float32, tokens*s.args.int("head_dim"))
		}
		return m
	}
	l := &Layer{K: rows(len(m.kv)), V: rows(len(m.kv)), Q: rows(len(m.heads))}
	var writers []*writer
	for g := range m.kv {
		writers = append(writers, s.newWriter(m, layer, g))
	}
	for first := 0; first < tokens; first += synthChunk {
		n := min(synthChunk, tokens-first)
		r := newRotations(s.freq, first, n)
		for _, w := range writers {
			for i := range n {
				w.write(l, r, i, first+i)
			}
		}
	}
	return l, nil
}

// hash is of the canonical parameters, the seed and the generator's version, but not of the length: rows
// do not depend on it, so that records of a prefix join with those of a longer trace.
func (s *synth) hash() (string, error) {
	h := sha256.Sum256(fmt.Appendf(nil, "%s seed=%d version=%d", s.args.canonical(nil, map[string]bool{"tokens": true}), s.seed, synthVersion))
	return hex.EncodeToString(h[:]), nil
}

func (s *synth) close() error { return nil }

var _ = slices.Contains[[]int]
