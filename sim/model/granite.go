package model

// granite multiplies embeddings, residuals and attention logits, and divides the logits, by numbers of its configuration.
func granite(c *Config, f *fields) {
	c.base(f, nil)
	c.biases(f)
	c.Tied = f.flag("tie_word_embeddings", false)
	c.Activation = activation(f, "hidden_act")
	c.rope(f, ropeSpec{theta: 10000, types: ropeTypes})
	c.Scale = f.numberOr("attention_multiplier", 1)
	c.EmbedScale = float32(f.numberOr("embedding_multiplier", 1))
	c.ResidualScale = float32(f.numberOr("residual_multiplier", 1))
	c.LogitScale = 1 / f.numberOr("logits_scaling", 1)
}
