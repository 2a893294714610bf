package model

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// Bounds on what a configuration may say, far above any model.
const (
	maxLayers  = 1 << 12
	maxHeads   = 1 << 12
	maxHeadDim = 1 << 14
	maxWidth   = 1 << 22 // of hidden states and MLPs
	maxTokens  = math.MaxInt32
	maxExperts = 1 << 14
)

// Config is what the forward pass goes by. A family fills it in from config.json.
type Config struct {
	Family     string // model_type
	Layers     int
	Hidden     int // channels of the residual stream
	Vocabulary int
	QHeads     int
	KVHeads    int
	HeadDim    int
	MLP        int // channels between the matrices of a dense MLP
	Positions  int // that the model was made for; 0: not stated

	Eps        float64 // of the RMS norms
	NormOffset float32 // what is added to the weights of norms
	Norms      Norms
	QKNorm     QKNorm
	QKVBias    bool
	OutBias    bool // of the projection after attention
	MLPBias    bool
	Sinks      bool
	Fused      bool // q, k, v are one matrix, and so are gate and up
	Tied       bool // the head is the embedding, where there is no head
	Activation Activation
	Experts    *Experts
	Sparse     []bool // [layer] has experts; nil: all have, where there are Experts

	Scale         float64 // of the logits of attention
	Softcap       float64 // of these; 0: none
	Window        []int   // [layer] 0: none
	Ropes         []Rope
	RopeOf        []int // [layer] which of Ropes; -1: none
	EmbedScale    float32
	ResidualScale float32 // of what attention and MLP add
	LogitScale    float64
	LogitCap      float64 // 0: none

	Ignored []string // a line for each field that is not known and says nothing of attention
}

// Norms names the norms of a layer, as its tensors are called; "" where there is none.
type Norms struct{ BeforeAttention, AfterAttention, BeforeMLP, AfterMLP string }

// QKNorm is what is normalised of queries and keys, before the rotary embedding.
type QKNorm int

const (
	NoQKNorm  QKNorm = iota
	HeadNorm         // each head on its own
	WholeNorm        // all heads as one vector
)

// family is how the models of a model_type differ.
type family struct {
	configure func(c *Config, f *fields)
	prefixes  []string // of the names of its tensors; "" and "model." where nil
}

// families by model_type.
var families = map[string]family{
	"llama":       {configure: llama},
	"mistral":     {configure: mistral},
	"qwen2":       {configure: qwen2},
	"qwen3":       {configure: qwen3},
	"qwen3_moe":   {configure: qwen3MoE},
	"smollm3":     {configure: smolLM3},
	"phi3":        {configure: phi3},
	"olmo2":       {configure: olmo2},
	"granite":     {configure: granite},
	"gemma2":      {configure: gemma2},
	"gemma3_text": {configure: gemma3},
	"gemma3":      {configure: gemma3, prefixes: []string{"model.language_model.", "language_model.model.", "language_model."}},
	"gpt_oss":     {configure: gptOSS},
}

// Families returns the values of model_type that there are forward passes of, sorted.
func Families() []string { return slices.Sorted(maps.Keys(families)) }

// parseConfig reads a config.json.
func parseConfig(text []byte) (*Config, error) {
	f, err := parseFields(text)
	if err != nil {
		return nil, err
	}
	name, ok := take[string](f, "model_type", "a string")
	if *f.err != nil {
		return nil, *f.err
	}
	of, known := families[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("field model_type: missing, want one of %s", strings.Join(Families(), ", "))
	case !known:
		return nil, fmt.Errorf("field model_type: %s has no forward pass here, want one of %s; kvgauge trace hook prints a program that captures any model in PyTorch",
			printable(name), strings.Join(Families(), ", "))
	}
	if f.has("quantization_config") {
		return nil, fmt.Errorf("field quantization_config: %s weights are not read, want F32, F16 or BF16", quantization(f))
	}
	c := &Config{Family: name, EmbedScale: 1, ResidualScale: 1, LogitScale: 1, Norms: llamaNorms}
	inner := f
	if name == "gemma3" { // a model of images and text, of which this is the text
		if inner = f.object("text_config"); inner == nil {
			f.fail("text_config", "missing, want the configuration of the text model")
			return nil, *f.err
		}
		inner.word("model_type", "gemma3_text", "gemma3_text")
	}
	of.configure(c, inner)
	if inner != f {
		c.Tied = f.flag("tie_word_embeddings", true)
	}
	if c.Ignored, err = leftOver(f, inner); err != nil && *f.err == nil {
		return nil, err
	}
	if *f.err != nil {
		return nil, *f.err
	}
	return c, c.check()
}

// quantization is what a configuration calls its weights.
func quantization(f *fields) string {
	method := "quantised"
	if q := f.object("quantization_config"); q != nil {
		if name, ok := take[string](q, "quant_method", "a string"); ok {
			method = printable(name)
		}
	}
	return method
}

// base reads what all families have. defaults are those that the family's models rely on, by field.
func (c *Config) base(f *fields, defaults map[string]int) {
	must := func(name string, most int) int {
		if byDefault, ok := defaults[name]; ok {
			return f.naturalOr(name, byDefault, 1, most)
		}
		return f.natural(name, 1, most)
	}
	c.Layers = must("num_hidden_layers", maxLayers)
	c.Hidden = must("hidden_size", maxWidth)
	c.Vocabulary = must("vocab_size", maxWidth<<4)
	c.QHeads = must("num_attention_heads", maxHeads)
	c.MLP = must("intermediate_size", maxWidth)
	kv, ok := defaults["num_key_value_heads"]
	if _, stated := f.values["num_key_value_heads"]; stated || !ok {
		kv = c.QHeads
	}
	c.KVHeads = f.naturalOr("num_key_value_heads", kv, 1, maxHeads)
	dim, ok := defaults["head_dim"]
	if _, stated := f.values["head_dim"]; stated || !ok {
		dim = c.Hidden / c.QHeads
	}
	c.HeadDim = f.naturalOr("head_dim", max(1, dim), 1, maxHeadDim)
	c.Positions = f.naturalOr("max_position_embeddings", 0, 1, maxTokens)
	c.Eps = f.number("rms_norm_eps")
	c.Scale = 1 / math.Sqrt(float64(c.HeadDim))
	c.Window, c.RopeOf = make([]int, c.Layers), make([]int, c.Layers)
}

// windows gives the layers of layer_types that are sliding_attention a window. Without layer_types, slides says which they are.
func (c *Config) windows(f *fields, window int, slides func(layer int) bool) {
	types, ok := take[[]string](f, "layer_types", "a list of strings")
	if ok && len(types) != c.Layers {
		f.fail("layer_types", "%s, want num_hidden_layers, %d", record.Count(len(types), "layer", ""), c.Layers)
		return
	}
	for l := range c.Window {
		sliding := !ok && slides(l)
		if ok {
			switch types[l] {
			case "sliding_attention":
				sliding = true
			case "full_attention":
			default:
				f.fail("layer_types", "layer %d: %s, want sliding_attention or full_attention", l, printable(types[l]))
			}
		}
		if !sliding {
			continue
		}
		if window == 0 {
			f.fail("sliding_window", "missing, want the window of layer %d, which is sliding_attention", l)
			return
		}
		c.Window[l] = window
	}
}

// window reads sliding_window, 0 where it is null.
func window(f *fields, byDefault int) int {
	if _, stated := f.values["sliding_window"]; stated {
		byDefault = 0
	}
	return f.naturalOr("sliding_window", byDefault, 1, maxTokens)
}

// check refuses what no family may have.
func (c *Config) check() error {
	switch {
	case c.QHeads%c.KVHeads != 0:
		return fmt.Errorf("field num_attention_heads: %d, want a multiple of num_key_value_heads, %d", c.QHeads, c.KVHeads)
	case c.Experts != nil && c.Experts.PerToken > c.Experts.Count:
		return fmt.Errorf("field num_experts_per_tok: %d, want at most the %d experts", c.Experts.PerToken, c.Experts.Count)
	}
	return nil
}

// neutral are fields of config.json that say nothing of the forward pass: of its training, of how others run it, of tokens.
var neutral = []string{
	"architectures", "model_type", "torch_dtype", "dtype", "transformers_version", "_name_or_path", "auto_map", "is_llama_config",
	"use_cache", "cache_implementation", "attn_implementation", "_attn_implementation", "_attn_implementation_autoset", "tokenizer_class",
	"initializer_range", "attention_dropout", "hidden_dropout", "resid_pdrop", "embd_pdrop", "pretraining_tp", "router_aux_loss_coef",
	"output_router_logits", "output_attentions", "output_hidden_states", "return_dict", "id2label", "label2id",
	"bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id", "cls_token_id",
	"max_window_layers",                           // of those that slide nowhere, or everywhere
	"experts_per_token", "initial_context_length", // gpt-oss says them twice
	"vision_config", "mm_tokens_per_image", "boi_token_index", "eoi_token_index", "image_token_index", "image_token_id", // Gemma 3
	"transformers.js_config", "unsloth_version", "unsloth_fixed",
}

// changing are fields by which families say what changes their forward pass, besides those that change attention.
var changing = []string{
	"attention_bias", "qkv_bias", "mlp_bias", "use_bias", "bias", "o_bias", "use_qk_norm", "qk_norm", "qk_layernorm", "clip_qkv",
	"embedding_multiplier", "residual_multiplier", "logits_scaling", "logit_scale", "final_logit_softcapping", "scale_emb", "scale_depth",
	"hidden_act", "hidden_activation", "num_experts", "num_local_experts", "num_experts_per_tok", "n_routed_experts", "n_shared_experts",
	"moe_intermediate_size", "shared_expert_intermediate_size", "norm_topk_prob", "decoder_sparse_step", "mlp_only_layers",
	"swiglu_limit", "swiglu_alpha", "tie_word_embeddings", "layer_norm_eps", "norm_eps", "parallel_attn", "use_parallel_residual",
	"residual_in_fp32", "normalize_embedding", "rms_norm_add_unit_offset", "q_lora_rank", "num_nextn_predict_layers",
	"attention_multiplier", "rope_theta", "intermediate_size_mlp", "hidden_size_per_layer_input", "altup_num_inputs",
}

// leftOver goes through the fields that nothing was read from. One that is known to change what a model computes is refused,
// unless it is switched off; of the others it returns a line each.
func leftOver(objects ...*fields) (ignored []string, err error) {
	for i, f := range objects {
		if i > 0 && f == objects[0] {
			continue
		}
		for _, name := range f.unread() {
			plain := strings.TrimLeft(name, "_")
			switch {
			case slices.Contains(neutral, name), nothing(f.values[name]):
			case slices.Contains(changing, plain), trace.ChangesAttention(name):
				return nil, fmt.Errorf("field %s: %s, which the forward pass of this model_type does not know, want no such field",
					printable(f.path+name), printable(string(f.values[name])))
			default:
				ignored = append(ignored, fmt.Sprintf("config.json: field %s: not known, ignored", printable(f.path+name)))
			}
		}
	}
	return ignored, nil
}
