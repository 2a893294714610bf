package model

import (
	"kvgauge/sim/record"
)

// smolLM3 has no rotary embedding in every no_rope_layer_interval-th layer, or where no_rope_layers is 0, and may have a window
// there.
func smolLM3(c *Config, f *fields) {
	c.base(f, nil)
	c.biases(f)
	c.Tied = f.flag("tie_word_embeddings", true)
	c.Activation = activation(f, "hidden_act")
	c.rope(f, ropeSpec{theta: 2e6, types: ropeTypes})
	interval := f.naturalOr("no_rope_layer_interval", 4, 1, maxTokens)
	rotated, stated := take[[]int](f, "no_rope_layers", "a list of 0 and 1")
	if stated && len(rotated) < c.Layers {
		f.fail("no_rope_layers", "%s, want num_hidden_layers, %d", record.Count(len(rotated), "layer", ""), c.Layers)
		return
	}
	for l := range c.RopeOf {
		if stated && rotated[l] == 0 || !stated && (l+1)%interval == 0 {
			c.RopeOf[l] = -1
		}
	}
	size := window(f, 0)
	use := f.flag("use_sliding_window", false)
	if !use {
		size = 0
	}
	c.windows(f, size, func(l int) bool { return size > 0 && c.RopeOf[l] < 0 })
}
