package arch

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// measured is a line of testdata/transformers.jsonl: a configuration of a small model, in other fields again where
// released ones have others, and what transformers 5.24.0 cached for it. testdata/measure.py made the figures.
type measured struct {
	Name     string
	Config   json.RawMessage
	Other    json.RawMessage
	Bytes    map[string][2]int64 // float32: after a prompt of so many tokens, and after five more
	BFloat16 []int64             // the same at 40
	Layers   []int64             // of each cache layer after a prompt of 100, in float32

	Parameters int64
}

func readMeasured(t testing.TB) []measured {
	t.Helper()
	f, err := os.Open("testdata/transformers.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []measured
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var m measured
		if err := json.Unmarshal(s.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestTransformers holds every configuration to the bytes that transformers caches.
func TestTransformers(t *testing.T) {
	seen, weighted := map[string]bool{}, map[string]bool{}
	for _, c := range readMeasured(t) {
		var head struct {
			Type string `json:"model_type"`
		}
		if err := json.Unmarshal(c.Config, &head); err != nil {
			t.Fatal(err)
		}
		seen[head.Type] = true
		for form, config := range map[string]json.RawMessage{"config": c.Config, "other": c.Other} {
			if config == nil {
				continue
			}
			m, err := Read(config)
			if err != nil {
				t.Errorf("%s, %s: %v", c.Name, form, err)
				continue
			}
			if len(c.Bytes) < 4 {
				t.Errorf("%s: %d lengths measured, want 4", c.Name, len(c.Bytes))
			}
			for length, want := range c.Bytes {
				n, err := strconv.Atoi(length)
				if err != nil {
					t.Fatal(err)
				}
				if got := [2]int64{m.Bytes(n, 0, 4), m.Bytes(n, 5, 4)}; got != want {
					t.Errorf("%s, %s: after %d tokens and after five more: %v bytes, want %v", c.Name, form, n, got, want)
				}
			}
			if len(c.BFloat16) == 2 {
				if got := []int64{m.Bytes(40, 0, 2), m.Bytes(40, 5, 2)}; !slices.Equal(got, c.BFloat16) {
					t.Errorf("%s, %s: in bfloat16 after 40 tokens and after five more: %v bytes, want %v", c.Name, form, got, c.BFloat16)
				}
			}
			switch m.Params {
			case 0:
			case c.Parameters:
				weighted[m.Type] = true
			default:
				t.Errorf("%s, %s: %d parameters, want %d", c.Name, form, m.Params, c.Parameters)
			}
			if got := layerBytes(m, 100, 4); c.Layers != nil && !slices.Equal(got, c.Layers) {
				t.Errorf("%s, %s: layers after 100 tokens: %v bytes, want %v", c.Name, form, got, c.Layers)
			}
		}
	}
	for name := range weighed {
		if !weighted[name] {
			t.Errorf("%s: no configuration's parameters were counted", name)
		}
	}
	for _, name := range causalTypes(t) {
		_, none := uncached[name]
		_, known := types[name]
		if none == known {
			t.Errorf("%s: in the table %v, without a cache %v, want one of them", name, known, none)
		}
		// gemma3n needs packages for images to be built; its part for text is measured as gemma3n_text.
		if known && !seen[name] && name != "gemma3n" && name != "gpt-sw3" {
			t.Errorf("%s: not measured", name)
		}
	}
}

// layerBytes is what each layer caches, without those at the end that cache nothing: transformers may have none there.
func layerBytes(m Model, tokens, elem int) []int64 {
	var of []int64
	for _, l := range m.Layers {
		sum := int64(0)
		for _, t := range l.Tensors {
			if !t.Module {
				sum += t.Bytes(tokens, 0, elem)
			}
		}
		of = append(of, sum)
	}
	for len(of) > 0 && of[len(of)-1] == 0 {
		of = of[:len(of)-1]
	}
	return of
}

// causalTypes are the model types that transformers 5.24.0 generates text with.
func causalTypes(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/causal_types.txt")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			names = append(names, line)
		}
	}
	if len(names) != 196 {
		t.Fatalf("%d types, want 196", len(names))
	}
	return names
}
