package engine

import (
	"fmt"
	"slices"

	"kvgauge/sim/arch"
)

const (
	llamaCells  = 256 // cells of a sequence, and of a window, are rounded up to it (GGML_PAD in llama-context.cpp, llama-kv-cache-iswa.cpp)
	llamaUBatch = 512 // n_ubatch by default, which a window's cells have room for besides
)

// llamaCPP allocates a stream of cells for each sequence when a context is made. Layers with a window have a cache of
// their own (llama_kv_cache_iswa): window and ubatch cells, or with swa_full as many as the others. Row sizes are
// ggml's. The library's default is swa_full, that of its programs is not.
var llamaCPP = Engine{
	Name: "llama.cpp", Version: "0c1e570 (llama-cpp-python 0.3.36)", Repository: "ggml-org/llama.cpp", OwnType: "float16",
	Source: "src/llama-kv-cache.cpp, llama-kv-cache-iswa.cpp, llama-context.cpp (n_ctx_seq)",
	Note: func(r Request) string {
		switch slides, _ := llamaWindows(r.Model.Type); {
		case !windows(r.Model):
			return ""
		case !slides:
			return "llama.cpp's graph of the model has no windows: its layers are allocated in full"
		case r.FullWindows:
			return "layers with a window are allocated in full (swa_full), as the library does by default"
		}
		return "layers with a window hold it and a batch of 512, as the programs do by default; --full-windows is the library's default"
	},
}

func init() { llamaCPP.Bytes = llamaBytes } // which names the engine in its errors

// llamaBytes adds up the layers.
func llamaBytes(r Request, tokens int) (int64, error) {
	if r.Elem == 1 && r.Rows == nil {
		return 0, fmt.Errorf("%s has no 8-bit floating point cache", llamaCPP.Name)
	}
	cells := roundUp(int64(tokens), llamaCells)
	total := int64(0)
	for i, l := range r.Model.Layers {
		if l.From >= 0 {
			continue
		}
		n := cells
		if span := max(l.Window, l.Chunk); span > 0 {
			slides, known := llamaWindows(r.Model.Type)
			if !known {
				return 0, llamaCPP.unmodelled(i, "the window")
			}
			if slides && !r.FullWindows {
				n = roundUp(min(cells, int64(span)+llamaUBatch), llamaCells)
			}
		}
		for _, t := range l.Tensors {
			switch t.Role {
			case arch.Key, arch.Value, arch.Latent, arch.Rotary:
				if t.Rows.Grow == arch.All && t.Rows.N > 0 {
					return 0, llamaCPP.unmodelled(i, "the learned prompt")
				}
			default:
				return 0, llamaCPP.unmodelled(i, t.Name)
			}
		}
		total += n * r.row(i)
	}
	return total, nil
}

// llamaWindows says whether the graph of a model type knows windows (hparams.swa_type in src/models), or else allocates
// all layers alike; known is false of types that were not looked up.
func llamaWindows(modelType string) (slides, known bool) {
	switch {
	case slices.Contains([]string{
		"afmoe", "cohere2", "exaone4", "exaone_moe", "gemma2", "gemma3_text", "gemma3n_text", "gemma4_text", "gpt_oss",
		"llama4_text", "mimo_v2_flash", "olmo3",
	}, modelType):
		return true, true
	case slices.Contains([]string{"mistral", "mixtral", "ministral3", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "starcoder2"}, modelType):
		return false, true
	}
	return false, false
}
