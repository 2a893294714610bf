package sim

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"kvgauge/sim/trace"
)

// models are traces of tiny models with random weights, whose own attention outputs stand beside their queries, keys and
// values (testdata/goldens/attention/capture.py).
var models = []string{"deepseek_v3", "gemma2", "gemma3_text", "gemma4", "gpt_oss", "llama4", "mistral_sliding"}

// modelTrace opens one of them, with the outputs of a layer, [q_head][queries*v_dim].
func modelTrace(t *testing.T, name string) (*trace.Trace, func(layer int) [][]float32) {
	t.Helper()
	path := filepath.Join("..", "testdata", "goldens", "attention", name+".safetensors")
	file, err := trace.OpenTensors(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return openTrace(t, path), func(layer int) [][]float32 {
		rows, err := file.Rows(fmt.Sprintf("layers.%d.o", layer))
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
}

// TestModelAttention: the reference is the attention of the models themselves, as transformers computed it in float32,
// and the f16 cache of all that a model reads is near it.
func TestModelAttention(t *testing.T) {
	for _, name := range models {
		t.Run(name, func(t *testing.T) {
			tr, outputs := modelTrace(t, name)
			o := Options{Traces: headers(tr), Pipelines: parse(t, "full"), Lengths: []int{tr.Tokens}, Decode: new(tr.Queries)}
			c := planned(t, Options{
				Traces: o.Traces, Pipelines: o.Pipelines, Lengths: o.Lengths, Decode: o.Decode, Threads: 1, MaxMemory: 1 << 30,
			}).Cells[0]
			for _, layer := range tr.Layers {
				l, err := tr.Read(layer, tr.Tokens, 0)
				if err != nil {
					t.Fatal(err)
				}
				a, got, want := tr.At(layer), exact(c, layer, l, nil).out, outputs(layer)
				var diff, norm float64
				for i, x := range got {
					row, h := i/a.VDim/a.QHeads, i/a.VDim%a.QHeads
					w := float64(want[h][row*a.VDim+i%a.VDim])
					diff, norm = diff+(x-w)*(x-w), norm+w*w
				}
				if e := math.Sqrt(diff / norm); !(e < 2e-6) {
					t.Errorf("layer %d: the reference is %g away from the model", layer, e)
				}
			}
			if rec := runCells(t, o)[0]; !(rec.Error.RelL2 < 1e-3) || *rec.CacheBytes != *rec.CacheBytesFull {
				t.Errorf("full: error %g, %d of %d bytes", rec.Error.RelL2, *rec.CacheBytes, *rec.CacheBytesFull)
			}
		})
	}
}

// TestWindowsAreLeftAlone: what evicts leaves layers with a window or chunks as they are, with full's error and bytes;
// with scope=all it reduces them, too.
func TestWindowsAreLeftAlone(t *testing.T) {
	for _, name := range []string{"gemma3_text", "gpt_oss", "llama4"} {
		tr, _ := modelTrace(t, name)
		recs := runCells(t, Options{
			Traces: headers(tr), Pipelines: parse(t, "full", "streamingllm:budget=16", "streamingllm:budget=16,scope=all"),
			Lengths: []int{tr.Tokens}, Decode: new(tr.Queries / 2),
		})
		full, left, all := recs[0], recs[1], recs[2]
		whole := 0
		for i, layer := range tr.Layers {
			a := tr.At(layer)
			same := left.Error.RelL2Layers[i] == full.Error.RelL2Layers[i]
			if ring := a.Ring(); same != (ring > 0) {
				t.Errorf("%s: layer %d, window %d: error %g, full's %g", name, layer, ring, left.Error.RelL2Layers[i], full.Error.RelL2Layers[i])
			}
			if a.Ring() == 0 {
				whole++
			} else if all.Error.RelL2Layers[i] <= full.Error.RelL2Layers[i] {
				t.Errorf("%s: layer %d, window %d, scope=all: error %g, full's %g", name, layer, a.Ring(), all.Error.RelL2Layers[i], full.Error.RelL2Layers[i])
			}
		}
		if *full.ChangedLayers != 0 || *left.ChangedLayers != whole || *all.ChangedLayers != len(tr.Layers) {
			t.Errorf("%s: %d, %d, %d layers changed, want 0, %d, %d", name, *full.ChangedLayers, *left.ChangedLayers, *all.ChangedLayers, whole, len(tr.Layers))
		}
		if got := full.Shapes; len(got) != len(tr.Layers) {
			t.Errorf("%s: shapes %v", name, got)
		}
	}
}
