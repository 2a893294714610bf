package model

// qwen2 is Qwen 1.5, 2 and 2.5: biases of queries, keys and values, and a window from layer max_window_layers on where
// use_sliding_window says so.
func qwen2(c *Config, f *fields) {
	c.base(f, nil)
	c.QKVBias = true
	c.qwen(f)
	c.slide(f)
}

// qwen3 has norms of each head's queries and keys in place of the biases.
func qwen3(c *Config, f *fields) {
	c.base(f, nil)
	c.QKNorm = HeadNorm
	c.biases(f)
	c.qwen(f)
	c.slide(f)
}

// qwen3MoE has experts in some or all layers, and a window in all or none.
func qwen3MoE(c *Config, f *fields) {
	c.base(f, nil)
	c.QKNorm = HeadNorm
	c.biases(f)
	c.qwen(f)
	count := "num_experts"
	if !f.has(count) && f.has("num_local_experts") { // as transformers 5 names it
		count = "num_local_experts"
	}
	c.Experts = &Experts{
		Count:    f.natural(count, 1, maxExperts),
		PerToken: f.natural("num_experts_per_tok", 1, maxExperts),
		Width:    f.natural("moe_intermediate_size", 1, maxWidth),
		Route:    SoftmaxFirst,
	}
	if f.flag("norm_topk_prob", false) {
		c.Experts.Route = SoftmaxNormalised
	}
	step := f.naturalOr("decoder_sparse_step", 1, 1, maxLayers)
	dense, _ := take[[]int](f, "mlp_only_layers", "a list of layers")
	c.Sparse = make([]bool, c.Layers)
	for l := range c.Sparse {
		c.Sparse[l] = (l+1)%step == 0
	}
	for _, l := range dense {
		if l >= 0 && l < c.Layers {
			c.Sparse[l] = false
		}
	}
	if f.flag("use_sliding_window", false) {
		c.everywhere(window(f, 4096))
	}
	f.read["sliding_window"] = true
}

// qwen reads what the three have in common.
func (c *Config) qwen(f *fields) {
	c.Tied = f.flag("tie_word_embeddings", false)
	c.Activation = activation(f, "hidden_act")
	c.rope(f, ropeSpec{theta: 10000, types: ropeTypes})
}

// slide reads the windows of dense models. layer_types comes before max_window_layers, but use_sliding_window before both.
func (c *Config) slide(f *fields) {
	size := window(f, 4096)
	if !f.flag("use_sliding_window", false) {
		size = 0
	}
	first := f.naturalOr("max_window_layers", 28, 0, maxTokens)
	c.windows(f, size, func(l int) bool { return size > 0 && l >= first })
}
