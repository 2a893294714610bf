package gguf

import (
	"fmt"
	"maps"
	"slices"

	"kvgauge/sim/arch"
	"kvgauge/sim/record"
)

// architecture is what a graph of llama.cpp (src/models) makes of the header's values.
type architecture struct {
	of     string // transformers' name of the type
	period int    // every period-th layer sees all tokens, the others a window (load_swa_pattern); 0: all do
	window int    // where the file does not say
	chunks bool   // windows are chunks
	own    int    // first layers with keys of their own; later ones read those of the last two; 0: all
	latent bool   // kv_lora_rank latents
	needs  int    // layers without which there are no windows; 0: any number
}

// architectures are those whose caches hold keys and values, or latents, and nothing else.
var architectures = map[string]architecture{
	"arcee": {of: "arcee"}, "bloom": {of: "bloom"}, "codeshell": {of: "codeshell"}, "command-r": {of: "cohere"}, "dbrx": {of: "dbrx"},
	"deepseek": {of: "deepseek"}, "dots1": {of: "dots1"}, "ernie4_5": {of: "ernie4_5"}, "ernie4_5-moe": {of: "ernie4_5_moe"},
	"exaone": {of: "exaone"}, "falcon": {of: "falcon"}, "gemma": {of: "gemma"}, "glm4": {of: "glm4"}, "glm4moe": {of: "glm4_moe"},
	"gpt2": {of: "gpt2"}, "gptneox": {of: "gpt_neox"}, "granite": {of: "granite"}, "granitemoe": {of: "granitemoe"},
	"hunyuan-dense": {of: "hunyuan_v1_dense"}, "hunyuan-moe": {of: "hunyuan_v1_moe"}, "internlm2": {of: "internlm2"}, "llama": {of: "llama"},
	"minicpm": {of: "minicpm"}, "minimax-m2": {of: "minimax_m2"}, "mistral3": {of: "ministral3"}, "mpt": {of: "mpt"}, "nemotron": {of: "nemotron"},
	"olmo": {of: "olmo"}, "olmoe": {of: "olmoe"}, "phi2": {of: "phi"}, "phi3": {of: "phi3"}, "phimoe": {of: "phimoe"}, "qwen2": {of: "qwen2"},
	"qwen2moe": {of: "qwen2_moe"}, "qwen3": {of: "qwen3"}, "qwen3moe": {of: "qwen3_moe"}, "seed_oss": {of: "seed_oss"},
	"smollm3": {of: "smollm3"}, "stablelm": {of: "stablelm"}, "starcoder": {of: "gpt_bigcode"}, "starcoder2": {of: "starcoder2"},

	"cohere2": {of: "cohere2", period: 4},
	"exaone4": {of: "exaone4", period: 4, window: 4096, needs: 64},
	"gemma2":  {of: "gemma2", period: 2, window: 4096},
	"gemma3":  {of: "gemma3_text", period: 6},
	"gemma3n": {of: "gemma3n_text", period: 5, own: 20},
	"gpt-oss": {of: "gpt_oss", period: 2},
	"llama4":  {of: "llama4_text", period: 4, window: 8192, chunks: true},
	"olmo2":   {of: "olmo3", period: 4},

	"deepseek2": {of: "deepseek_v3", latent: true},
}

// Model says what the model of a file caches, and what is left out of it, if anything.
func Model(h Header) (m arch.Model, note string, err error) {
	said, ok := h.Values["general.architecture"]
	if !ok {
		return m, "", fmt.Errorf("general.architecture: missing, want the name of an architecture")
	}
	name, ok := said.(string)
	if !ok || name == "" {
		return m, "", fmt.Errorf("general.architecture: %s, want the name of an architecture", show(said))
	}
	a, ok := architectures[name]
	if !ok {
		near := ""
		if n := record.Nearest(name, slices.Sorted(maps.Keys(architectures))); n != "" {
			near = "; the nearest is " + n
		}
		return m, "", fmt.Errorf("general.architecture: %.64q is not one of the %d whose caches are known from a header, give its config.json%s", name, len(architectures), near)
	}
	v := &values{of: h.Values, prefix: name + "."}
	layers := v.number("block_count", 1, 1<<14, 0)
	heads := v.perLayer("attention.head_count", layers, 0)
	kvHeads := v.perLayer("attention.head_count_kv", layers, -1)
	m.Type, m.Hidden, m.MaxTokens = a.of, v.number("embedding_length", 1, 1<<24, 0), v.number("context_length", 1, 1<<40, 0)
	if v.err != nil {
		return m, "", v.err
	}
	m.QHeads = heads[0]
	window := v.number("attention.sliding_window", 0, 1<<40, -1)
	if window < 0 {
		window = a.window
	}
	if a.needs > 0 && layers != a.needs {
		a.period = 0
	}
	slides := v.pattern(layers, a.period)
	if a.period == 0 && window > 0 {
		note = fmt.Sprintf("the file's window of %d tokens is left out: llama.cpp's graph of %s has none", window, name)
	}
	for i := range layers {
		if kvHeads[i] < 0 {
			kvHeads[i] = heads[i]
		}
		if heads[i] == 0 || kvHeads[i] == 0 {
			m.Layers = append(m.Layers, arch.Layer{Block: i, From: -1})
			continue
		}
		if heads[i]%kvHeads[i] != 0 {
			v.fail("attention.head_count_kv", "%d, want a divisor of the %d query heads of layer %d", kvHeads[i], heads[i], i)
		}
		l := arch.Layer{Block: i, QHeads: heads[i], From: -1}
		if window > 0 && slides[i] {
			if a.chunks {
				l.Chunk = window
			} else {
				l.Window = window
			}
		}
		rows := arch.Rows{Grow: arch.All}
		if span := max(l.Window, l.Chunk); span > 0 {
			rows = arch.Rows{Grow: arch.Ring, N: span}
		}
		if a.latent {
			l.Rank = v.number("attention.kv_lora_rank", 1, 1<<20, 0)
			l.Rope = v.number("rope.dimension_count", 1, 1<<20, 0)
			l.QKDim, l.VDim = v.number("attention.key_length_mla", 1, 1<<20, l.Rank+l.Rope), v.number("attention.value_length_mla", 1, 1<<20, l.Rank)
			l.Tensors = []arch.Tensor{{Name: "latent", Role: arch.Latent, Row: int64(l.Rank), Rows: rows, Type: arch.ModelType}, {Name: "rotary", Role: arch.Rotary, Row: int64(l.Rope), Rows: rows, Type: arch.ModelType}}
		} else {
			share := m.Hidden / heads[i]
			l.KVHeads = kvHeads[i]
			l.QKDim, l.VDim = v.number("attention.key_length", 1, 1<<20, share), v.number("attention.value_length", 1, 1<<20, share)
			if a.own > 0 && i >= a.own {
				l.From = a.own - 1
				if slides[i] {
					l.From = a.own - 2
				}
			} else {
				l.Tensors = []arch.Tensor{
					{Name: "keys", Role: arch.Key, Row: int64(l.KVHeads) * int64(l.QKDim), Rows: rows, Type: arch.ModelType},
					{Name: "values", Role: arch.Value, Row: int64(l.KVHeads) * int64(l.VDim), Rows: rows, Type: arch.ModelType},
				}
			}
		}
		m.Layers = append(m.Layers, l)
	}
	rows := int64(0)
	for _, l := range m.Layers {
		for _, t := range l.Tensors {
			rows += t.Row
		}
	}
	if v.err == nil && rows > maxRow {
		return m, "", fmt.Errorf("%d elements a token in all layers, want at most %d", rows, maxRow)
	}
	return m, note, v.err
}

// maxRow bounds the elements of a token in all layers, so that no sum of bytes overflows.
const maxRow = 1 << 30

// values reads values of an architecture; the first error stays.
type values struct {
	of     map[string]any
	prefix string
	err    error
}

// fail keeps the first error.
func (v *values) fail(key, format string, args ...any) {
	if v.err == nil {
		v.err = fmt.Errorf("%s%s: %s", v.prefix, key, fmt.Sprintf(format, args...))
	}
}

// has says whether the file has a value.
func (v *values) has(key string) bool {
	_, ok := v.of[v.prefix+key]
	return ok
}

// show prints a value, with its type where that is not an integer.
func show(x any) string {
	switch x := x.(type) {
	case string:
		return fmt.Sprintf("the text %.40q", x)
	case float64:
		return fmt.Sprintf("the float %v", x)
	case bool:
		return fmt.Sprintf("the bool %v", x)
	case []int64:
		return fmt.Sprintf("an array of %d numbers", len(x))
	case Unread:
		return string(x)
	}
	return fmt.Sprint(x)
}

// number is a whole number within bounds, or absent where the file does not say; absent 0 wants it said.
func (v *values) number(key string, least, most int64, absent int) int {
	x, ok := v.of[v.prefix+key]
	if !ok {
		if absent == 0 {
			v.fail(key, "missing, want an integer from %d to %d", least, most)
		}
		return absent
	}
	n, ok := x.(int64)
	if !ok || n < least || n > most {
		v.fail(key, "%s, want an integer from %d to %d", show(x), least, most)
		return absent
	}
	return int(n)
}

// perLayer is a number for each layer: one for all, or an array; absent where the file does not say, 0 wants it said.
func (v *values) perLayer(key string, layers, absent int) []int {
	const most = 1 << 16
	all, isArray := v.of[v.prefix+key].([]int64)
	if !isArray {
		n := v.number(key, 1, most, absent)
		return slices.Repeat([]int{n}, max(1, layers))
	}
	if len(all) < layers || layers == 0 {
		v.fail(key, "%d numbers, want one for each of %d layers", len(all), layers)
		return make([]int, max(1, layers))
	}
	out := make([]int, layers)
	for i := range out {
		if all[i] < 0 || all[i] > most {
			v.fail(key, "%d, want an integer from 0 to %d", all[i], most)
			return out
		}
		out[i] = int(all[i])
	}
	return out
}

// pattern says which layers see a window: those that an array of the file names, or all but every period-th.
func (v *values) pattern(layers, period int) []bool {
	const key = "attention.sliding_window_pattern"
	slides := make([]bool, layers)
	if period == 0 {
		return slides
	}
	switch x := v.of[v.prefix+key].(type) {
	case []int64:
		if len(x) < layers {
			v.fail(key, "%d numbers, want one for each of %d layers", len(x), layers)
			return slides
		}
		for i := range slides {
			slides[i] = x[i] != 0
		}
		return slides
	case nil:
	default:
		if period = v.number(key, 1, 1<<14, 1); v.err != nil {
			return slides
		}
	}
	for i := range slides {
		slides[i] = i%period < period-1
	}
	return slides
}
