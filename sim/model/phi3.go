package model

// phi3 is Phi-3 and Phi-4 (mini): one matrix for queries, keys and values, one for gate and up, and rotary embeddings of a part of
// the channels or with LongRoPE. Its earlier names su and yarn are the same.
func phi3(c *Config, f *fields) {
	c.base(f, nil)
	c.Fused = true
	c.Tied = f.flag("tie_word_embeddings", false)
	c.Activation = activation(f, "hidden_act")
	if !f.has("original_max_position_embeddings") { // transformers' default, even where rope_scaling says another
		f.values["original_max_position_embeddings"] = []byte("4096")
	}
	c.rope(f, ropeSpec{
		theta: 10000, types: []string{"default", "longrope"}, partial: true,
		alias: map[string]string{"su": "longrope", "yarn": "longrope"},
	})
	f.read["original_max_position_embeddings"] = true
	c.everywhere(window(f, 0))
}
