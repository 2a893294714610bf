package model

// olmo2 has its norms behind attention and MLP, and others of all heads' queries and keys as one vector.
func olmo2(c *Config, f *fields) {
	c.base(f, nil)
	c.QKNorm = WholeNorm
	c.Norms = Norms{AfterAttention: "post_attention_layernorm", AfterMLP: "post_feedforward_layernorm"}
	c.QKVBias = f.flag("attention_bias", false)
	c.OutBias = c.QKVBias
	c.Tied = f.flag("tie_word_embeddings", false)
	c.Activation = activation(f, "hidden_act")
	c.rope(f, ropeSpec{theta: 10000, types: ropeTypes})
}
