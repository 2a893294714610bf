package trace

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The shapes are those of the models and texts that the traces were recorded from; the hashes pin the files.
func TestBuiltins(t *testing.T) {
	tests := []struct {
		name, model                     string
		layers                          []int
		numLayers, qHeads, kvHeads, dim int
		tokens, queries                 int
		theta                           float64
		sha256                          string
	}{
		{"smollm2", "SmolLM2-135M-Instruct", []int{0, 1, 14, 15, 28, 29}, 30, 9, 3, 64, 1024, 1024, 1e5, "c6fcdbe2fdd76b7876db47be8bc2b11b05a7375a99378758e9af7a62e1c12142"},
		{"smollm2-calib", "SmolLM2-135M-Instruct", []int{0, 1, 14, 15, 28, 29}, 30, 9, 3, 64, 512, 64, 1e5, "d4c3fcfa7360f781aec46228641b2937790dbb268e9e2791d0d5e36330091c76"},
		{"bytelm", "bytelm", []int{0, 1, 2, 3, 4, 5}, 6, 8, 8, 32, 1024, 1024, 1e4, "7d85f58cc8addacccd202f318b8d64b002610ab354e2348ed743160b4eeeac39"},
		{"bytelm-calib", "bytelm", []int{0, 1, 2, 3, 4, 5}, 6, 8, 8, 32, 512, 64, 1e4, "aa4baf44546db8e1db058963d0e378774049c79ebfadf81631d3fc9419729a2e"},
		{"stories260k", "stories260k", []int{0, 1, 2, 3, 4}, 5, 8, 4, 8, 512, 512, 1e4, "e215c88f623ade6df662ccf15fb0cef504a3a9cc9519a408ef056e749e422952"},
		{"stories260k-calib", "stories260k", []int{0, 1, 2, 3, 4}, 5, 8, 4, 8, 448, 64, 1e4, "d4df66c18894e8934175ca1431ae25c6164280eafc5763628a84b5b216cd76c3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := open(t, tt.name, Options{})
			got := fmt.Sprintln(tr.Name, tr.Model, tr.Layers, tr.NumLayers, tr.Attention[0].QHeads, tr.Attention[0].KVHeads, tr.Attention[0].QKDim, tr.Tokens, tr.Queries, tr.Attention[0].Rope.Theta, tr.Attention[0].Rope.Style, tr.Attention[0].Rope.Dims)
			want := fmt.Sprintln(tt.name, tt.model, tt.layers, tt.numLayers, tt.qHeads, tt.kvHeads, tt.dim, tt.tokens, tt.queries, tt.theta, "neox", tt.dim)
			if got != want {
				t.Errorf("got  %swant %s", got, want)
			}
			if sum, err := tr.Hash(); err != nil || sum != tt.sha256 {
				t.Errorf("hash %s, %v, want %s", sum, err, tt.sha256)
			}
			for _, layer := range tr.Layers {
				whole := checkLayer(t, tr, layer, tr.Tokens)
				most := tr.Tokens - 7 // ends within a chunk
				if part := checkLayer(t, tr, layer, most); !reflect.DeepEqual(part, whole.Prefix(most, &tr.Attention[0])) {
					t.Errorf("layer %d: the first %d tokens differ from those of the whole", layer, most)
				}
			}
		})
	}
	if !slices.Equal(builtinNames(), []string{"smollm2", "smollm2-calib", "bytelm", "bytelm-calib", "stories260k", "stories260k-calib"}) {
		t.Errorf("names %v", builtinNames())
	}
}

// A summary repeats figures of its trace.
func TestBuiltinSummaries(t *testing.T) {
	for _, b := range Builtins() {
		tr := open(t, b.Name, Options{})
		want := []string{tr.Model, fmt.Sprintf("%d heads", tr.Attention[0].QHeads), fmt.Sprintf("of %d", tr.Attention[0].QKDim), fmt.Sprintf("%d tokens", tr.Tokens)}
		if len(tr.Layers) == tr.NumLayers {
			want = append(want, fmt.Sprintf("all %d layers", tr.NumLayers))
		} else {
			want = append(want, fmt.Sprintf("layers %s of %d", strings.Trim(fmt.Sprint(tr.Layers), "[]"), tr.NumLayers))
		}
		if tr.Attention[0].KVHeads != tr.Attention[0].QHeads {
			want = append(want, fmt.Sprintf("%d KV heads", tr.Attention[0].KVHeads))
		}
		for _, w := range want {
			if !strings.Contains(b.Summary, w) {
				t.Errorf("%s: summary %q lacks %q", b.Name, b.Summary, w)
			}
		}
	}
}

// A companion is of the same model and shape.
func TestCompanion(t *testing.T) {
	for _, b := range Builtins() {
		name, ok := Companion(b.Name)
		if !ok {
			t.Fatalf("%s has no companion", b.Name)
		}
		main, calib := open(t, b.Name, Options{}), open(t, name, Options{})
		if main.Model != calib.Model || !slices.Equal(main.Layers, calib.Layers) || !main.Attention[0].Same(&calib.Attention[0]) {
			t.Errorf("%s: another model or shape than %s", name, b.Name)
		}
	}
	if c, ok := Companion("synth:model=3,tokens=64"); !ok || c != "synth:model=3,text=1,tokens=512" {
		t.Errorf("companion of a synthetic trace: %q", c)
	}
	for _, name := range []string{"smollm2-calib", "synth:models=1", ""} {
		if c, ok := Companion(name); ok {
			t.Errorf("companion of %q: %s", name, c)
		}
	}
}
