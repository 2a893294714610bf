package model

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// checkpoints is where the tiny checkpoints lie, with what transformers computes from them (make.py there).
const checkpoints = "../../testdata/checkpoints"

// tolerance is how far results may be from transformers', as a share of the largest value: both round to float32, in another order.
const tolerance = 1e-5

// folders are the names of the checkpoints.
func folders(t testing.TB) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(checkpoints, "*", "config.json"))
	if err != nil || len(paths) < 16 {
		t.Fatalf("%d checkpoints: %v", len(paths), err)
	}
	for _, p := range paths {
		names = append(names, filepath.Base(filepath.Dir(p)))
	}
	return names
}

// openModel opens a checkpoint for a test.
func openModel(t testing.TB, path string) *Model {
	t.Helper()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// reference is what transformers computed.
type reference struct{ *trace.Tensors }

func openReference(t testing.TB, name string) reference {
	t.Helper()
	r, err := trace.OpenTensors(filepath.Join(checkpoints, name, "reference.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return reference{r}
}

// ids reads token ids.
func (r reference) ids(t testing.TB, name string) (ids []int32) {
	t.Helper()
	list, err := r.Ints(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range list {
		ids = append(ids, int32(id))
	}
	return ids
}

// floats reads a tensor of F32 as it lies.
func (r reference) floats(t testing.TB, name string) []float32 {
	t.Helper()
	n := 1
	for _, d := range r.Shape(name) {
		n *= d
	}
	out := make([]float32, n)
	dtype, elements := r.Open(name)
	if dtype != "F32" || n == 1 {
		t.Fatalf("tensor %s: dtype %q, shape %v", name, dtype, r.Shape(name))
	}
	if _, err := elements.ReadAt(kernel.Memory(out), 0); err != nil {
		t.Fatal(err)
	}
	return out
}

// near compares with transformers.
func near(t testing.TB, name string, got, want []float32) {
	t.Helper()
	var largest, worst float64
	for i, w := range want {
		largest = max(largest, math.Abs(float64(w)))
		worst = max(worst, math.Abs(float64(got[i]-w)))
	}
	if len(got) != len(want) || !(worst <= tolerance*largest) {
		t.Errorf("%s: %d numbers, up to %.2g off, want %d, at most %.2g", name, len(got), worst, len(want), tolerance*largest)
	}
}

// byToken turns heads [heads][tokens*dim] into [tokens, heads, dim].
func byToken(heads [][]float32, dim int) (out []float32) {
	for t := range len(heads[0]) / dim {
		for _, head := range heads {
			out = append(out, head[t*dim:(t+1)*dim]...)
		}
	}
	return out
}

// TestAgainstTransformers holds rows, outputs and logits of every family against transformers, and the continuation by arg max.
func TestAgainstTransformers(t *testing.T) {
	pool := kernel.NewPool(2)
	defer pool.Close()
	tested := map[string]bool{}
	for _, name := range folders(t) {
		t.Run(name, func(t *testing.T) {
			m, r := openModel(t, filepath.Join(checkpoints, name)), openReference(t, name)
			if len(m.Ignored) > 0 {
				t.Errorf("ignored: %q", m.Ignored)
			}
			tested[m.Family] = true
			ids := r.ids(t, "token_ids")
			p, err := m.Prefill(ids, pool)
			if err != nil {
				t.Fatal(err)
			}
			for l := range m.Layers {
				rows, err := p.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for kind, heads := range map[string][][]float32{"q": rows.Q, "k": rows.K, "v": rows.V, "o": rows.O} {
					tensor := "layers." + string(rune('0'+l)) + "." + kind
					near(t, tensor, byToken(heads, m.HeadDim), r.floats(t, tensor))
				}
			}
			logits := allLogits(t, p)
			near(t, "logits", logits, r.floats(t, "logits"))
			for _, want := range r.ids(t, "greedy") { // each from the beginning, as there
				p, err := m.Prefill(ids, pool)
				if err != nil {
					t.Fatal(err)
				}
				logits := allLogits(t, p)
				id := argMax(logits[len(logits)-m.Vocabulary:])
				if id != want {
					t.Fatalf("token %d: %d, want %d", len(ids), id, want)
				}
				ids = append(ids, id)
			}
		})
	}
	for _, f := range Families() {
		if !tested[f] {
			t.Errorf("no checkpoint of %s", f)
		}
	}
}

// allLogits goes through what is left of the layers.
func allLogits(t testing.TB, p *Prefill) (logits []float32) {
	t.Helper()
	err := p.Logits(t.Context(), func(rows []float32) error {
		logits = append(logits, rows...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return logits
}

// argMax is the most probable token.
func argMax(logits []float32) int32 { return int32(slices.Index(logits, slices.Max(logits))) }

// exactStore is an empty cache of a layer that keeps rows as they are.
func exactStore(t testing.TB, m *Model, layer int, rules []kernel.Rule, tokens int, pool *kernel.Pool) *cache.Store {
	t.Helper()
	v := &cache.View{Layers: []int{layer}, Dim: m.HeadDim, VDim: m.HeadDim, Rules: [][]kernel.Rule{rules}, Q: [][][]float32{make([][]float32, m.QHeads)}}
	v.K, v.V, v.Pos = make([][]float32, m.KVHeads), make([][]float32, m.KVHeads), make([][]int32, m.KVHeads)
	codec := &cache.Codec{K: kernel.Plain(kernel.F32), V: kernel.Plain(kernel.F32)}
	s, err := cache.Build(cache.Spec{View: v, Before: v.Shape(), Decisions: []cache.Decision{{Codec: codec}}, Decode: tokens, Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDecoder decodes each text from its first token on, over caches that keep everything, and wants transformers' logits of
// every position. A rotary embedding that depends on the length of the text is that of the whole.
func TestDecoder(t *testing.T) {
	pool := kernel.NewPool(2)
	defer pool.Close()
	for _, name := range folders(t) {
		t.Run(name, func(t *testing.T) {
			m, r := openModel(t, filepath.Join(checkpoints, name)), openReference(t, name)
			ids := r.ids(t, "token_ids")
			d, err := m.NewDecoder(len(ids), pool)
			if err != nil {
				t.Fatal(err)
			}
			var stores []*cache.Store
			for l := range m.Layers {
				stores = append(stores, exactStore(t, m, l, d.Rules(l), len(ids), pool))
			}
			var logits []float32
			for pos, id := range ids {
				row := make([]float32, m.Vocabulary)
				if err := d.Step(t.Context(), id, pos, stores, row); err != nil {
					t.Fatal(err)
				}
				logits = append(logits, row...)
			}
			near(t, "logits", logits, r.floats(t, "logits"))
		})
	}
}

// TestRopes holds the frequencies of every kind of scaling against transformers' own functions.
func TestRopes(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(checkpoints, "ropes.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Config  map[string]json.RawMessage
		Tokens  int
		InvFreq []float32 `json:"inv_freq"`
		Factor  float64
	}
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) < 8 {
		t.Fatal(len(cases), err)
	}
	base, err := os.ReadFile(filepath.Join(checkpoints, "llama", "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		fields := map[string]json.RawMessage{}
		if err := json.Unmarshal(base, &fields); err != nil {
			t.Fatal(err)
		}
		for name, value := range c.Config {
			fields[name] = value
		}
		text, _ := json.Marshal(fields)
		config, err := parseConfig(text)
		if err != nil {
			t.Fatal(err)
		}
		inv, factor := config.Ropes[0].Frequencies(c.Tokens)
		if math.Abs(factor-c.Factor) > 1e-12 || len(inv) != len(c.InvFreq) {
			t.Errorf("%s: factor %v of %d, want %v of %d", c.Config["rope_parameters"], factor, len(inv), c.Factor, len(c.InvFreq))
			continue
		}
		for p, w := range c.InvFreq {
			if math.Abs(float64(inv[p]-w)) > 2e-7*float64(w) {
				t.Errorf("%s: pair %d: %v, want %v", c.Config["rope_parameters"], p, inv[p], w)
			}
		}
	}
}
