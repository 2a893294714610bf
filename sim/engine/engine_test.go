package engine

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"kvgauge/sim/arch"
)

// model reads a configuration.
func model(t *testing.T, config string) arch.Model {
	t.Helper()
	m, err := arch.Read([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// named reads a configuration that comes with the program.
func named(t *testing.T, name string) arch.Model {
	t.Helper()
	p, err := arch.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return model(t, string(p.Config))
}

const (
	// smallGemma3 is a Gemma 3 of 8 layers whose GGUF file llama.cpp was given.
	smallGemma3 = `{"model_type":"gemma3_text","num_hidden_layers":8,"hidden_size":64,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":32,"sliding_window":1024,"sliding_window_pattern":6}`
	// smallDeepSeek is a DeepSeek V3 of 4 layers, the same.
	smallDeepSeek = `{"model_type":"deepseek_v3","num_hidden_layers":4,"hidden_size":64,"num_attention_heads":4,"num_key_value_heads":4,"q_lora_rank":32,"kv_lora_rank":128,"qk_rope_head_dim":64,"qk_nope_head_dim":32,"v_head_dim":32}`
)

// row is a format by the bytes of 32 channels.
func row(m arch.Model, key, value int64) func(int) (int64, int64) {
	return func(i int) (int64, int64) {
		l := m.Layers[i]
		return key * int64(l.KVHeads*l.QKDim) / 32, value * int64(l.KVHeads*l.VDim) / 32
	}
}

// TestLlamaCPPAllocates holds figures against what llama.cpp (of llama-cpp-python 0.3.36) allocated for the context, by
// its llama_get_memory_breakdown: contexts of n_ctx tokens for n_seq_max sequences, flash attention on.
func TestLlamaCPPAllocates(t *testing.T) {
	smol, gemma, deepseek := named(t, "smollm2-135m"), model(t, smallGemma3), model(t, smallDeepSeek)
	tests := []struct {
		name       string
		model      arch.Model
		ctx, seqs  int
		elem       int
		key, value int64 // bytes of 32 channels, of a quantised type
		full       bool
		want       int64
	}{
		{"SmolLM2, f16, 3 sequences: 1,536 cells", smol, 1000, 3, 2, 0, 0, false, 35389440},
		{"SmolLM2, f16", smol, 4096, 1, 2, 0, 0, false, 94371840},
		{"SmolLM2, q8_0", smol, 4096, 1, 2, 34, 34, false, 50135040},
		{"SmolLM2, K q8_0 and V q4_0", smol, 4096, 1, 2, 34, 18, false, 38338560},
		{"SmolLM2, f32, 2 sequences", smol, 4096, 2, 4, 0, 0, false, 188743680},
		{"SmolLM2, q4_1", smol, 1024, 1, 2, 20, 20, false, 7372800},
		{"SmolLM2, K iq4_nl and V q5_1", smol, 1024, 1, 2, 18, 24, false, 7741440},
		{"Gemma 3, f16", gemma, 32768, 1, 2, 0, 0, false, 11141120},
		{"Gemma 3, f16, swa_full", gemma, 32768, 1, 2, 0, 0, true, 67108864},
		{"Gemma 3, f16, below the window", gemma, 1000, 1, 2, 0, 0, false, 2097152},
		{"Gemma 3, f16, 4 sequences", gemma, 8000, 4, 2, 0, 0, false, 13107200},
		{"Gemma 3, q8_0", gemma, 4000, 1, 2, 34, 34, false, 2019328},
		{"DeepSeek V3, f16", deepseek, 4096, 1, 2, 0, 0, false, 6291456},
		{"DeepSeek V3, f16, 3 sequences", deepseek, 1000, 3, 2, 0, 0, false, 2359296},
	}
	for _, tt := range tests {
		r := Request{Model: tt.model, Elem: tt.elem, FullWindows: tt.full}
		if tt.key > 0 {
			r.Rows = row(tt.model, tt.key, tt.value)
		}
		// n_ctx is of all sequences, and rounded up to 256 before it is divided.
		got, err := llamaCPP.Bytes(r, int(roundUp(int64(tt.ctx), llamaCells))/tt.seqs)
		if err != nil || int64(tt.seqs)*got != tt.want {
			t.Errorf("%s: %d bytes, %v, llama.cpp allocates %d", tt.name, int64(tt.seqs)*got, err, tt.want)
		}
	}
}

// TestVLLMPlans holds figures against vLLM 0.33.0's own planner (get_kv_cache_groups and
// _max_memory_usage_bytes_from_groups of kv_cache_planning.py, run on the specs of the models' layers): a line has the
// model, its bytes of an element, the tokens in flight, those of the request, and the bytes.
func TestVLLMPlans(t *testing.T) {
	lines, err := os.ReadFile("testdata/vllm.txt")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for line := range strings.Lines(string(lines)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var name string
		var elem, inFlight, tokens int
		var want int64
		if _, err := fmt.Sscan(line, &name, &elem, &inFlight, &tokens, &want); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		m := named(t, name)
		got, err := vllm.Bytes(Request{Model: m, Elem: elem, State: 2, InFlight: inFlight}, tokens)
		if err != nil || got != want {
			t.Errorf("%s: %d tokens, %d in flight: %d bytes, %v, vLLM plans %d", name, tokens, inFlight, got, err, want)
		}
		checked++
	}
	if checked < 30 {
		t.Errorf("only %d lines", checked)
	}
}

// TestVLLMBlocks are the blocks that the engine's documentation speaks of.
func TestVLLMBlocks(t *testing.T) {
	one := func(m arch.Model, elem int) int64 {
		m.Layers = m.Layers[:1]
		n, err := vllm.Bytes(Request{Model: m, Elem: elem, State: 2, InFlight: InFlight}, 1)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := one(named(t, "deepseek-v3"), 2); n != 18432 {
		t.Errorf("a block of latents takes %d bytes, want 18,432", n)
	}
	if n := one(named(t, "deepseek-v3.2"), 1); n != 16*(656+132) {
		t.Errorf("a block of fp8_ds_mla and of its index keys takes %d bytes, want %d", n, 16*(656+132))
	}
}

// TestShard: KV heads are replicated where there are fewer than ranks, latents always.
func TestShard(t *testing.T) {
	tests := []struct {
		model       string
		ranks       int
		perToken    int64 // bytes in bf16
		unlike, why string
	}{
		{"llama-3-8b", 1, 131072, "", ""},
		{"llama-3-8b", 4, 32768, "", ""},
		{"llama-3-8b", 16, 16384, "", ""},
		{"deepseek-v3", 8, 70272, "", ""},
		{"llama-3-8b", 3, 0, "3 ranks", "query heads"},
		{"qwen3-next-80b-a3b", 2, 0, "not modelled", "states"},
	}
	for _, tt := range tests {
		m, err := Shard(named(t, tt.model), tt.ranks)
		if tt.unlike != "" {
			if err == nil || !strings.Contains(err.Error(), tt.unlike) {
				t.Errorf("%s on %d ranks: %v, want %q", tt.model, tt.ranks, err, tt.unlike)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s on %d ranks: %v", tt.model, tt.ranks, err)
			continue
		}
		if got := m.Bytes(1, 0, 2); got != tt.perToken {
			t.Errorf("%s on %d ranks: %d bytes a token, want %d", tt.model, tt.ranks, got, tt.perToken)
		}
	}
}

// TestUnmodelled: what an engine is not known to hold is refused by the name of the tensor.
func TestUnmodelled(t *testing.T) {
	for _, e := range []Engine{vllm, llamaCPP} {
		_, err := e.Bytes(Request{Model: named(t, "falcon-mamba-7b"), Elem: 2, State: 2}, 100)
		if err == nil || !strings.Contains(err.Error(), "not modelled") || !strings.Contains(err.Error(), "conv_states") {
			t.Errorf("%s: %v", e.Name, err)
		}
	}
}

// TestTransformersSaysWhatViewsHold: bytes by the shapes of windows are not the most that is held.
func TestTransformersSaysWhatViewsHold(t *testing.T) {
	for _, tt := range []struct {
		model string
		want  bool
	}{{"gemma-3-27b", true}, {"llama-3-8b", false}} {
		if got := transformers.Note(Request{Model: named(t, tt.model), Elem: 2}); strings.Contains(got, "all of the prompt's rows") != tt.want {
			t.Errorf("%s: %q", tt.model, got)
		}
	}
}
