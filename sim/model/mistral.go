package model

// mistral has a window in all layers, unless sliding_window is null. Without the field transformers takes 4096.
func mistral(c *Config, f *fields) {
	c.base(f, nil)
	c.Tied = f.flag("tie_word_embeddings", false)
	c.Activation = activation(f, "hidden_act")
	c.rope(f, ropeSpec{theta: 10000, types: ropeTypes})
	c.everywhere(window(f, 4096))
}

// everywhere gives all layers a window.
func (c *Config) everywhere(window int) {
	for l := range c.Window {
		c.Window[l] = window
	}
}
