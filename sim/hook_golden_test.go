package sim

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// TestHookTraces: what the printed capture program saw of models is all that their attention does. Attention over the traces that
// it made is the models' own, computed by transformers in float32, and the traces say what the models are known to do.
func TestHookTraces(t *testing.T) {
	tests := map[string]string{ // what each layer says beside its shape
		"4.57-cohere2":          "window gptj, window gptj, window gptj, no rope",
		"4.57-deepseek_v3-yarn": "latent, latent, latent, latent",
		"4.57-gemma2":           "softcap window, softcap, softcap window, softcap",
		"4.57-gpt_oss":          "sinks window factor, sinks factor, sinks window factor, sinks factor",
		"5.24-falcon-alibi":     "alibi no rope, alibi no rope, alibi no rope, alibi no rope",
		"5.24-gemma3n_text":     "window, window, window, window, , window, window from 5, window from 5, window from 5, from 4",
		"5.24-kimi_linear":      "state, state, state, latent no rope",
		"5.24-llama4_text":      "chunk gptj, chunk gptj, chunk gptj, no rope",
		"5.24-qwen3_next":       "state, state, state, ",
	}
	files, err := filepath.Glob(filepath.Join("..", "testdata", "hook", "*.safetensors"))
	if err != nil || len(files) != len(tests) {
		t.Fatalf("%d files, want %d, %v", len(files), len(tests), err)
	}
	pool := kernel.NewPool(1)
	defer pool.Close()
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			tr := openTrace(t, filepath.Join("..", "testdata", "hook", name+".safetensors"))
			if got := saidOf(tr); got != want {
				t.Errorf("layers say %q, want %q", got, want)
			}
			for _, layer := range tr.Layers {
				p, err := newProof(tr, layer, tr.Tokens, tr.Queries, pool)
				if err != nil {
					t.Fatal(err)
				}
				if e := p.error(&p.attention, p.layer); !(e < 2e-6) {
					t.Errorf("layer %d: attention is %g away from the model's", layer, e)
				}
			}
		})
	}
}

// saidOf lists what is particular of each layer.
func saidOf(tr *trace.Trace) string {
	said := make([]string, tr.NumLayers)
	for _, s := range tr.States {
		said[s.Layer] = "state"
	}
	for _, layer := range tr.Layers {
		a := tr.At(layer)
		var words []string
		for _, w := range []struct {
			word string
			of   bool
		}{
			{"latent", a.Latent()},
			{"softcap", a.Softcap > 0},
			{"sinks", a.Sinks != nil},
			{"alibi", a.ALiBi != nil},
			{"window", a.Window > 0},
			{"chunk", a.Chunk > 0},
			{"gptj", a.Rope.Dims > 0 && a.Rope.Style == "gptj"},
			{"factor", a.RopeFactor != 1},
			{"no rope", a.Rope.Dims == 0},
			{fmt.Sprint("from ", a.KVFrom), a.Borrows},
		} {
			if w.of {
				words = append(words, w.word)
			}
		}
		said[layer] = strings.Join(words, " ")
	}
	return strings.Join(said, ", ")
}
