package trace

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
)

// synthVersion names the generator in the hash of its traces: it changes whenever a row does.
const synthVersion = 1

// companionTokens is the length of a synthetic trace's calibration companion.
const companionTokens = 512

// synth is the source of a synthetic trace. Its rows show what real traces show (synthParams lists the
// strengths) but no model was trained: they say how a method reacts to a property, not how good it is.
//
// Every row is a pure function of (model, seed and text, layer, head, token): a longer trace begins with
// the shorter one, bit for bit on one architecture, and any prefix costs time linear in its length. The
// structure, which is bases, directions and strengths of heads, comes from the model; the content from
// seed and text. With g the KV head that query head h reads, R_t the rotary embedding of position t and
// n independent normal noise:
//
//	k_t = R_t (c1 b_g + P_g z_t + n) - c2 (1 - s_t) u_g - c2 (1 - w_t) u'_g + needle code
//	q_t = R_t (A_ht b_g + B_h P_g y_t + n) + S_ht u_g + H_h u'_g            + code of the needle asked for
//	v_t = c3 + C_g z_t + n
//
// The parts stand for the statistics as follows.
//
//   - Locality: b_g lies in the faster half of the pairs of dimensions, where the logit of two rotated
//     copies, A c1 sum over pairs |b_p|^2 cos(w_p distance), falls as the distance grows.
//   - Content: z_t, of rank numbers, is what the token says, with a share that drifts as the topic does
//     (synth_content.go); y_t is the topic and what the head searches for, which drifts likewise. P_g
//     places them on slow pairs. z_t gives the value, too.
//   - Low-rank heads: b, P z and C z span few of head_dim dimensions.
//   - Sink: s_0 = 1 above the first layer, else s_t = 0. Like real ones the sink is the key that lacks
//     what queries avoid: its key and value are short.
//   - Heavy hitters: w_t > 0 for one token in 128.
//   - Adjacent layers: the fields behind y and z change from layer to layer by a fixed angle.
//   - Adjacent queries: all of q but its noise changes slowly, and the noise has the share of the
//     energy that gives the cosine asked for.
//   - Needles: synth_needle.go.
//
// u, u' and the codes are added after the rotary embedding, in the slowest pairs, as if it left those alone:
// over the lengths that a model with this theta is trained for it hardly rotates them, and so a sink stays one
// at any length. The price is that undoing the embedding rotates them: beyond about 8k tokens at theta 10000,
// figures of unrotated keys are of that rotation, which a larger theta slows. S and A grow with ln t, t the keys that
// the query reads, as the log-sum-exp of all other keys does, so that their masses depend little on the length.
//
// Attention may be anything that a layer can say (synth_layers.go). Products of rows make up for the scale; a soft cap,
// slopes and sinks come on top of the logits that the formulas give, and without rotation all keys are as near.
type synth struct {
	args synthArgs
	seed uint64
	text uint64   // key of the content
	plan []Needle // of the longest trace possible
}

var _ source = (*synth)(nil)

// openSynth opens the synthetic trace of a spec: synth or synth:key=value,key=value. Where the spec does
// not say how many tokens, the trace grows to the options'. Seed 0 is 1.
func openSynth(spec string, o Options) (*Trace, error) {
	a, given, err := parseSynth(spec)
	if err == nil && !given["tokens"] {
		a["tokens"] = max(a["tokens"], float64(o.Tokens))
		err = a.check()
	}
	if err != nil {
		return nil, fmt.Errorf("trace synth: %w", err)
	}
	s := &synth{args: a, seed: max(1, o.Seed)}
	s.text = keyed(forText, s.seed, uint64(a.int("text")))
	s.plan = planNeedles(s.text, a.needleHomes(), a.int("needles"))
	tokens := a.int("tokens")
	t := &Trace{src: s, Header: Header{
		Name:  a.canonical(given["tokens"]),
		Model: fmt.Sprintf("synth-%d", a.int("model")),
		Source: fmt.Sprintf("synthetic, of no trained model: %s, seed %d, generator version %d",
			a.canonical(false), s.seed, synthVersion),
		NumLayers: a.int("layers"), Tokens: tokens, Queries: tokens,
		Needles: needlesOf(s.plan, tokens),
	}}
	for l := range t.NumLayers {
		if n := a.int("state"); n > 0 && !a.isFull(l) {
			t.States = append(t.States, State{l, int64(n)})
			continue
		}
		t.Layers = append(t.Layers, l)
		t.Attention = append(t.Attention, a.at(l).attention(l))
	}
	t.Needles = slices.DeleteFunc(t.Needles, func(n Needle) bool { return !slices.Contains(t.Layers, n.Layer) })
	return t, nil
}

// synthCompanion returns the spec of the trace that maps are fitted on: a short other text of the same
// model. It is empty where the spec is not valid.
func synthCompanion(spec string) string {
	a, _, err := parseSynth(spec)
	if err != nil {
		return ""
	}
	a["text"] = math.Mod(a["text"]+1, maxSynthNumber)
	a["tokens"] = companionTokens
	return a.canonical(true)
}

// read implements source.
func (s *synth) read(layer, tokens, firstQuery int) (*Layer, error) {
	if layer < 0 || layer >= s.args.int("layers") {
		return nil, fmt.Errorf("layer %d: it holds 0 to %d", layer, s.args.int("layers")-1)
	}
	whole := s.args.at(layer)
	a, freq := whole, whole.frequenciesOf()
	if whole.isLatent() {
		a = maps.Clone(whole).parts()
	}
	m := newLayerModel(a, layer)
	rows := func(heads, n int) [][]float32 {
		r := make([][]float32, heads)
		for h := range r {
			r[h] = make([]float32, n)
		}
		return r
	}
	dim := a.int("head_dim")
	l := &Layer{
		K: rows(len(m.kv), tokens*dim), V: rows(len(m.kv), tokens*a.int("v_dim")),
		Q: rows(len(m.heads), (tokens-firstQuery)*dim), FirstQuery: firstQuery,
	}
	var writers []*writer
	for g := range m.kv {
		writers = append(writers, s.newWriter(a, m, layer, g))
	}
	var up *Up
	if whole.isLatent() {
		up = newUp(whole, layer)
		writers[0].nope = newNopeWriter(up, &m.kv[0], a.rankOf(), whole.int("head_dim"), tokens-firstQuery)
	}
	for first := 0; first < tokens; first += synthChunk {
		n := min(synthChunk, tokens-first)
		r := newRotaryTable(freq, first, n)
		var all sync.WaitGroup
		for _, w := range writers { // each writes the rows of its own heads
			all.Go(func() {
				for i := range n {
					w.write(l, r, i, first+i)
				}
			})
		}
		all.Wait()
	}
	if up != nil {
		return l.joinedLatents(writers[0].nope, tokens, up), nil
	}
	return l, nil
}

// hash is of the canonical parameters, the seed and the generator's version, but not of the length: the
// rows do not depend on it, and so records of a prefix join with those of a longer trace.
func (s *synth) hash() (string, error) {
	h := sha256.Sum256(fmt.Appendf(nil, "%s seed=%d version=%d", s.args.canonical(false), s.seed, synthVersion))
	return hex.EncodeToString(h[:]), nil
}

func (s *synth) close() error { return nil }
