package model

// llamaNorms are those of Llama and most others: one before attention and one before the MLP.
var llamaNorms = Norms{BeforeAttention: "input_layernorm", BeforeMLP: "post_attention_layernorm"}

// llama is Llama 1 to 3.3 and what is built alike: SmolLM 1 and 2, TinyLlama, Yi, DeepSeek's first models.
func llama(c *Config, f *fields) {
	c.base(f, nil)
	c.biases(f)
	c.Tied = f.flag("tie_word_embeddings", false)
	c.Activation = activation(f, "hidden_act")
	c.rope(f, ropeSpec{theta: 10000, types: ropeTypes})
}

// biases reads attention_bias, of all four projections, and mlp_bias.
func (c *Config) biases(f *fields) {
	c.QKVBias = f.flag("attention_bias", false)
	c.OutBias = c.QKVBias
	c.MLPBias = f.flag("mlp_bias", false)
}
