package trace

import (
	"slices"
	"strings"
)

// configFields are names by which models' configurations say what changes attention, with what says the same in a trace:
// those of transformers' configurations, and some of other programs'. What is part of the rows already, such as norms and
// biases, and what comes after attention, such as final_logit_softcapping, is not among them.
var configFields = []struct {
	use   string
	names []string
}{
	{"window, of version 2 (in metadata field layers where only some have one)", []string{
		"sliding_window", "sliding_window_size", "sliding_window_pattern", "use_sliding_window", "interleaved_sliding_window",
		"max_window_layers", "window_size", "attention_window", "window_attention", "swa", "local_attention", "local_window",
		"local_attention_window_len", "attention_types", "attention_layers", "global_attn_every_n_layers", "hybrid_layer_pattern",
		"full_attention_interval",
	}},
	{"window or chunk of each layer in metadata field layers, of version 2", []string{
		"layer_types", "attn_type_list", "attn_types", "sliding_attention", "full_attention", "chunked_attention",
	}},
	{"chunk, of version 2 (in metadata field layers where only some have one)", []string{
		"attention_chunk_size", "attn_chunk_size", "chunk_size",
	}},
	{"softcap, of version 2", []string{
		"attn_logit_softcapping", "attention_logit_softcapping", "attn_logit_softcap", "attn_softcap", "attn_logits_soft_cap",
		"logits_soft_cap", "logit_softcapping", "soft_cap", "logit_cap",
	}},
	{"scale, the factor itself", []string{
		"query_pre_attn_scalar", "attention_multiplier", "softmax_scale", "attention_scale", "attn_scaling", "scaling",
		"scale_attn_weights", "scale_attn_by_inverse_layer_idx", "mscale_all_dim",
	}},
	{"tensor rope_inv_freq or layers.N.rope_inv_freq, and rope_factor, of version 2", []string{
		"rope_scaling", "rope_parameters", "rope_type", "rope_scaling_factor", "rope_scaling_type", "yarn", "yarn_factor",
		"attention_factor", "mscale", "beta_fast", "beta_slow", "low_freq_factor", "high_freq_factor", "short_factor",
		"long_factor", "original_max_position_embeddings", "rope_ratio", "inv_freq",
	}},
	{"rope_theta (in metadata field layers where it differs)", []string{
		"rotary_emb_base", "rope_freq_base", "freq_base", "rope_base", "rope_local_base_freq", "rope_global_base_freq",
		"local_rope_theta", "global_rope_theta", "layer_rope_theta", "swa_rope_theta", "rotary_base",
	}},
	{"rope_theta null of the layers without it in metadata field layers, of version 2", []string{
		"no_rope_layers", "no_rope_layer_interval", "nope_layer_interval", "nope_layers", "use_rope",
	}},
	{"rope_dims", []string{
		"partial_rotary_factor", "rotary_pct", "rotary_dim", "rotary_ndims", "rope_pct", "dimension_count", "qk_rope_head_dim",
	}},
	{"rope_style", []string{"rope_interleave", "rope_interleaved", "rotary_interleaved", "is_neox_style", "rope_is_neox_style"}},
	{"tensors layers.N.alibi, of version 2", []string{
		"alibi", "use_alibi", "alibi_slopes", "alibi_bias_max", "slopes", "position_embedding_type", "max_alibi_bias",
	}},
	{"tensors layers.N.sinks, of version 2", []string{
		"attention_sinks", "attention_sink", "attn_sinks", "attn_sink", "sink", "use_sinks", "add_swa_attention_sink_bias",
		"add_full_attention_sink_bias", "attention_sink_bias",
	}},
	{"the heads in the shapes of tensors layers.N.q and layers.N.k", []string{
		"num_attention_heads", "num_key_value_heads", "num_global_key_value_heads", "swa_num_attention_heads",
		"swa_num_key_value_heads", "num_attention_heads_per_layer", "num_heads", "num_kv_heads", "n_heads", "n_head", "n_kv_heads",
		"n_head_kv", "kv_n_heads", "kv_heads", "q_heads", "multi_query", "new_decoder_architecture", "head_count", "head_count_kv",
		"num_query_groups", "multi_query_group_num", "attention_heads",
	}},
	{"the widths in the shapes of tensors layers.N.k and layers.N.v", []string{
		"head_dim", "global_head_dim", "swa_head_dim", "v_head_dim", "swa_v_head_dim", "qk_nope_head_dim", "qk_head_dim",
		"attention_head_size", "attention_head_dim", "d_head", "d_kv", "kv_channels", "key_length", "value_length", "qk_dim", "v_dim",
		"kv_lora_rank",
	}},
	{"kv_from of layers in metadata field layers, of version 2", []string{
		"num_kv_shared_layers", "kv_shared_layers", "cross_layer_kv_sharing", "cla_share_factor",
	}},
	{"state_bytes in metadata field layers", []string{
		"layers_block_type", "hybrid_override_pattern", "linear_attention", "attn_layer_period", "ssm_state_size",
	}},
	{"the queries with it applied, in tensors layers.N.q", []string{
		"attn_temperature_tuning", "attn_scale", "floor_scale", "llama_4_scaling_beta", "use_logn_attn",
	}},
	{"the values with it applied, in tensors layers.N.v", []string{"attention_value_scale"}},
	{"causal attention to all keys of a window or chunk, which is all that can be replayed", []string{
		"index_topk", "use_bidirectional_attention", "prefix_lm", "is_causal", "sparse_attention",
	}},
}

// ChangesAttention says whether a field of a model's configuration has a name of those that change attention.
func ChangesAttention(field string) bool {
	_, ok := configUse(field)
	return ok
}

// configUse says what to use in place of a name of a model's configuration: text_config.sliding_window and
// _sliding_window_pattern are such names, too.
func configUse(name string) (use string, ok bool) {
	name = strings.TrimLeft(strings.ToLower(lastPart(name)), "_")
	for _, f := range configFields {
		if slices.Contains(f.names, name) {
			return f.use, true
		}
	}
	return "", false
}
