package model

import "math"

// gemma2Defaults and gemma3Defaults are what published configurations leave out.
var (
	gemma2Defaults = map[string]int{"num_key_value_heads": 4, "head_dim": 256}
	gemma3Defaults = map[string]int{"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262208}
)

// gemma2 has four norms a layer, whose weights are added to 1, soft caps of attention and of the logits, and a window in every
// other layer.
func gemma2(c *Config, f *fields) {
	c.base(f, gemma2Defaults)
	c.gemma(f)
	c.Softcap = nullable(f, "attn_logit_softcapping", 50)
	c.LogitCap = nullable(f, "final_logit_softcapping", 30)
	c.rope(f, ropeSpec{theta: 10000, types: ropeTypes})
	c.windows(f, window(f, 4096), func(l int) bool { return l%2 == 0 })
}

// gemma3 has norms of queries and keys in place of the soft cap of attention, a window in five of six layers, and another rotary
// embedding in these.
func gemma3(c *Config, f *fields) {
	if !f.has("rms_norm_eps") {
		f.values["rms_norm_eps"] = []byte("1e-6")
	}
	c.base(f, gemma3Defaults)
	c.gemma(f)
	c.QKNorm = HeadNorm
	f.only("attn_logit_softcapping", "null") // which the model's own code does not hand to its attention
	c.LogitCap = nullable(f, "final_logit_softcapping", 0)
	pattern := f.naturalOr("sliding_window_pattern", 6, 1, maxTokens)
	f.read["_sliding_window_pattern"] = true // that of layer_types, which are beside it
	c.windows(f, window(f, 4096), func(l int) bool { return (l+1)%pattern != 0 })
	c.gemma3Ropes(f)
}

// gemma reads what both have in common.
func (c *Config) gemma(f *fields) {
	c.NormOffset = 1
	c.Norms = Norms{"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"}
	c.QKVBias = f.flag("attention_bias", false)
	c.OutBias = c.QKVBias
	c.Tied = f.flag("tie_word_embeddings", true)
	c.Activation = activation(f, "hidden_activation")
	if f.has("hidden_act") { // an older name, which is not looked at
		f.only("hidden_act", string(f.values["hidden_activation"]))
	}
	c.EmbedScale = float32(math.Sqrt(float64(c.Hidden)))
	c.Scale = 1 / math.Sqrt(f.numberOr("query_pre_attn_scalar", 256))
	f.only("use_bidirectional_attention", "false")
}

// nullable reads a positive number, 0 where it is null.
func nullable(f *fields, name string, byDefault float64) float64 {
	if _, stated := f.values[name]; stated {
		byDefault = 0
	}
	return f.numberOr(name, byDefault)
}

// gemma3Ropes reads the rotary embeddings of full and of sliding layers: nested in rope_parameters, or as rope_theta with
// rope_scaling and rope_local_base_freq.
func (c *Config) gemma3Ropes(f *fields) {
	kinds := []string{"full_attention", "sliding_attention"}
	thetas := []float64{f.numberOr("rope_theta", 1e6), f.numberOr("rope_local_base_freq", 1e4)}
	nested, scaling := f.object("rope_parameters"), f.object("rope_scaling")
	if nested == nil {
		nested = &fields{read: map[string]bool{}, err: f.err}
	}
	for i, kind := range kinds {
		o := nested.object(kind)
		switch {
		case i == 0 && scaling != nil && o != nil && o.has("rope_type") && string(o.values["rope_type"]) != `"default"`:
			f.fail("rope_scaling", "beside rope_parameters.full_attention, want one of them")
		case i == 0 && scaling != nil:
			o = scaling
		case o == nil:
			o = &fields{read: map[string]bool{}, err: f.err}
		}
		c.Ropes = append(c.Ropes, c.ropeOf(f, o, thetas[i], ropeSpec{types: ropeTypes}))
	}
	for _, name := range nested.unread() {
		nested.fail(name, "want full_attention and sliding_attention")
	}
	for l, w := range c.Window {
		if w > 0 {
			c.RopeOf[l] = 1
		}
	}
}
