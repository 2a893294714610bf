package model

// gptOSS has sinks in every softmax, a window in every other layer, biases, and experts whose gate is clamped. Its published
// checkpoints are mxfp4, which is refused; converted to BF16 they are read.
func gptOSS(c *Config, f *fields) {
	c.base(f, map[string]int{"num_key_value_heads": 8, "head_dim": 64})
	c.Sinks = true
	c.QKVBias = f.flag("attention_bias", true)
	c.OutBias = c.QKVBias
	c.Tied = f.flag("tie_word_embeddings", false)
	f.word("hidden_act", "silu", "silu") // the gate's own, whatever it says
	count := "num_local_experts"
	if !f.has(count) && f.has("num_experts") {
		count = "num_experts"
	}
	c.Experts = &Experts{
		Count:    f.natural(count, 1, maxExperts),
		PerToken: f.natural("num_experts_per_tok", 1, maxExperts),
		Width:    c.MLP,
		Route:    SoftmaxOfChosen,
		Biases:   true,
	}
	c.Activation = Activation{kind: clampedSwiGLU, alpha: float32(f.numberOr("swiglu_alpha", 1.702)), limit: float32(f.numberOr("swiglu_limit", 7))}
	c.windows(f, window(f, 128), func(l int) bool { return l%2 == 0 })
	if !f.has("rope_parameters") && !f.has("rope_scaling") {
		f.values["rope_parameters"] = []byte(`{"rope_type":"yarn","factor":32,"beta_fast":32,"beta_slow":1,"truncate":false,"original_max_position_embeddings":4096}`)
	}
	c.rope(f, ropeSpec{theta: 150000, types: ropeTypes})
}
