package arch

import (
	"slices"

	"kvgauge/sim/record"
)

// Which kinds of layers the configuration classes make, and which fields they make of others.

// pick returns one of two names.
func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// fixed is a pattern of the number alone.
func fixed(first func(i int) bool, a, b string) derive {
	return pattern(func(_ *fields, i int) string { return pick(first(i), a, b) })
}

// decoder refuses an encoder: it caches nothing.
func decoder(f *fields) {
	if !f.flag("is_decoder", false) {
		f.fail("%sis_decoder: not true, want a decoder: an encoder caches nothing", f.path)
	}
}

// noWindow drops the window: the class does.
func noWindow(f *fields) { f.set("sliding_window", nil) }

// usedWindow drops a window that use_sliding_window does not ask for.
func usedWindow(f *fields) {
	if !f.flag("use_sliding_window", false) {
		f.set("sliding_window", nil)
	}
	saysWindow(f)
}

// saysWindow wants the window said, be it null: the class's default is one model's own.
func saysWindow(f *fields) {
	if !f.given("sliding_window") && !f.has("layer_types") {
		f.missing("sliding_window", "the tokens that a query sees, or null")
	}
}

// saysShared wants the number of layers that share said.
func saysShared(f *fields) { f.number("num_kv_shared_layers", 0) }

// lateWindow gives the layers from max_window_layers a window, where there is one.
func lateWindow(f *fields) {
	if f.has("layer_types") {
		return
	}
	if !f.has("sliding_window") {
		uniform(full)(f)
		return
	}
	from := f.number("max_window_layers", 0)
	fixed(func(i int) bool { return i >= from }, sliding, full)(f)
}

// windowed gives all layers the window, where there is one.
func windowed(f *fields) { uniform(pick(f.has("sliding_window"), sliding, full))(f) }

// bidirectional halves the window of an encoder of both directions: half of it lies behind a token.
func bidirectional(all any) derive {
	return func(f *fields) {
		if v, _, _ := f.value("use_bidirectional_attention"); v == all {
			f.set("sliding_window", f.size("sliding_window")/2+1)
		}
	}
}

// lastIsFull makes the last layer one of full attention, whatever the configuration says.
func lastIsFull(f *fields) {
	if l := slices.Clone(f.list("layer_types")); len(l) > 0 {
		l[len(l)-1] = full
		f.set("layer_types", l)
	}
}

// globalLayers gives full layers heads of another width, and with attention_k_eq_v of another number.
func globalLayers(f *fields) {
	if f.given("per_layer_config") {
		return
	}
	over := map[string]any{"head_dim": either("global_head_dim", constant(512))(f)}
	if f.flag("attention_k_eq_v", false) && f.has("num_global_key_value_heads") {
		over["num_key_value_heads"] = f.size("num_global_key_value_heads")
	}
	f.overLayers(full, over)
}

// overLayers makes a per_layer_config for the layers of one kind.
func (f *fields) overLayers(name string, over map[string]any) {
	per := map[string]any{}
	for i, t := range f.texts("layer_types") {
		if t == name {
			per[decimal(i)] = over
		}
	}
	f.set("per_layer_config", per)
}

func cohereLayers(f *fields) {
	dense := 0
	if f.has("first_k_dense_replace") {
		dense = f.number("first_k_dense_replace", 0)
	}
	pattern(func(f *fields, i int) string {
		if i < dense {
			return pick((i+1)%either("prefix_dense_sliding_window_pattern", constant(1))(f) == 0, full, sliding)
		}
		return pick((i-dense+1)%either("sliding_window_pattern", constant(4))(f) == 0, full, sliding)
	})(f)
}

func flintLayers(f *fields) {
	last := f.layerCount() - 1
	fixed(func(i int) bool { return i < 2 || i%4 == 1 || i == last }, full, sliding)(f)
}

// llama4Layers have chunks where they have rotary positions.
func llama4Layers(f *fields) {
	if f.has("layer_types") {
		return
	}
	if !f.given("attention_chunk_size") {
		f.missing("attention_chunk_size", "the tokens of a chunk, or null")
	}
	rotary := f.numbers("no_rope_layers", 0) // 1 where a layer has them, whatever its name
	if len(rotary) == 0 {
		every(either("no_rope_layer_interval", constant(4)), full, pick(f.has("attention_chunk_size"), chunked, full))(f)
		return
	}
	if len(rotary) != f.layerCount() {
		f.fail("%sno_rope_layers: %s, want the %d of num_hidden_layers", f.path, record.Count(len(rotary), "layer", ""), f.layerCount())
		return
	}
	fixed(func(i int) bool { return rotary[i] != 0 && f.has("attention_chunk_size") }, chunked, full)(f)
}

// mimoWindow reads the window that released configurations count without the token itself.
func mimoWindow(f *fields) {
	if f.has("sliding_window_size") {
		f.set("sliding_window", f.size("sliding_window_size")+1)
	}
}

// modernbertWindow is half of local_attention, which counts both sides.
func modernbertWindow(f *fields) {
	if !f.has("sliding_window") {
		f.set("sliding_window", f.divide("local_attention", f.size("local_attention"), 2))
	}
}

func modernbertLayer(f *fields, i int) string {
	return pick(i%either("global_attn_every_n_layers", constant(3))(f) == 0, full, sliding)
}

func qwen2MoeLayer(f *fields, i int) string {
	if !f.flag("use_sliding_window", false) {
		return full
	}
	return pick(i%2 == 0 && i < f.number("max_window_layers", 0), sliding, full)
}

// smollm3Layer has a window where it has no rotary positions.
func smollm3Layer(f *fields, i int) string {
	if !f.flag("use_sliding_window", false) || !f.has("sliding_window") {
		return full
	}
	if rotary := f.numbers("no_rope_layers", 0); len(rotary) > 0 {
		return pick(i < len(rotary) && rotary[i] == 0, sliding, full)
	}
	return pick((i+1)%either("no_rope_layer_interval", constant(4))(f) == 0, sliding, full)
}

// dotsLayers tells layers with an indexer, without one and with a window apart; those with a window have latents of
// their own size.
func dotsLayers(f *fields) {
	if !f.has("sliding_window") {
		f.set("sliding_window", either("sliding_window_size", constant(512))(f))
	}
	named, dsa := f.given("use_dsa"), f.flag("use_dsa", true)
	if !named {
		named = !f.given("per_layer_config")
	}
	slides := f.flag("use_sliding_window", true)
	pattern(func(_ *fields, i int) string {
		return pick(!slides || i < 2 || i%4 == 1, pick(dsa, indexed, full), sliding)
	})(f)
	types := f.texts("layer_types")
	if named {
		renamed := make([]any, len(types))
		for i, t := range types {
			if renamed[i] = t; t == full || t == indexed {
				renamed[i] = pick(dsa, indexed, full)
			}
		}
		f.set("layer_types", renamed)
	}
	if f.given("per_layer_config") {
		return
	}
	rope := either("swa_qk_rope_head_dim", func(f *fields) int {
		return either("swa_head_dim", constant(256))(f) - either("swa_qk_nope_head_dim", constant(192))(f)
	})
	f.overLayers(sliding, map[string]any{
		"kv_lora_rank":        either("swa_kv_lora_rank", constant(1024))(f),
		"qk_rope_head_dim":    rope(f),
		"num_attention_heads": either("swa_num_attention_heads", constant(64))(f),
	})
}

// glmIndexers says which layers have an indexer of their own.
func glmIndexers(f *fields) {
	if f.has("indexer_types") {
		return
	}
	types := make([]any, f.layerCount())
	if v, path, _ := f.value("index_topk_pattern"); v != nil {
		letters, ok := v.(string)
		if !ok {
			f.set("indexer_types", v)
			return
		}
		if len(letters) != len(types) {
			f.fail("%s: %s, want the %d of num_hidden_layers", path, record.Count(len(letters), "layer", ""), len(types))
			return
		}
		for i, c := range letters {
			types[i] = pick(c == 'S', "shared", "full")
		}
	} else {
		each, from := 1, 2
		if f.has("index_topk_freq") {
			each = max(1, f.number("index_topk_freq", 0))
		}
		if f.has("index_skip_topk_offset") {
			from = f.number("index_skip_topk_offset", 0)
		}
		for i := range types {
			types[i] = pick(max(i-from+1, 0)%each == 0, "full", "shared")
		}
	}
	f.set("indexer_types", types)
}

// hunyuanIndexers gives the first layer and then every fourth an indexer.
func hunyuanIndexers(f *fields) {
	if f.has("indexer_types") {
		return
	}
	types := make([]any, f.layerCount())
	for i := range types {
		types[i] = pick(i == 0 || (i-1)%4 == 0, "full", "shared")
	}
	f.set("indexer_types", types)
}

// minimaxSparse reads the fields of released configurations, which lie in an object.
func minimaxSparse(f *fields) {
	if !f.has("sparse_attention_config") {
		return
	}
	in := f.inside("sparse_attention_config")
	if in.has("sparse_index_dim") {
		f.set("index_head_dim", in.size("sparse_index_dim"))
	}
	if in.has("sparse_attention_freq") && !f.has("layer_types") {
		on := in.numbers("sparse_attention_freq", 0)
		types := make([]any, len(on))
		for i, n := range on {
			types[i] = pick(n != 0, "minimax_m3_sparse", full)
		}
		f.set("layer_types", types)
	}
}

// qwen4Layers calls every layer with attention one with an indexer: released configurations do not.
func qwen4Layers(f *fields) {
	if !f.has("layer_types") {
		return
	}
	types := f.texts("layer_types")
	named := make([]any, len(types))
	for i, t := range types {
		named[i] = pick(t == full, indexed, t)
	}
	f.set("layer_types", named)
}

// bambaLayers attend where attn_layer_indices says.
func bambaLayers(f *fields) {
	attend := f.numbers("attn_layer_indices", 0)
	delete(f.says, "layer_types")
	fixed(func(i int) bool { return slices.Contains(attend, i) }, full, linear)(f)
}

func jambaLayers(f *fields) {
	delete(f.says, "layer_types")
	each, at := periodOf(f, 8, 4)
	fixed(func(i int) bool { return i%each == at }, full, linear)(f)
}

// periodOf reads how often layers attend, and which is the first.
func periodOf(f *fields, each, at int) (period, offset int) {
	if f.has("attn_layer_offset") {
		at = f.number("attn_layer_offset", 0)
	}
	return either("attn_layer_period", constant(each))(f), at
}

func inklingLayers(f *fields) {
	if !f.has("local_layer_ids") {
		every(constant(6), "hybrid", "hybrid_sliding")(f)
		return
	}
	local := f.numbers("local_layer_ids", 0)
	fixed(func(i int) bool { return slices.Contains(local, i) }, "hybrid_sliding", "hybrid")(f)
}

// kimiFields reads the fields of released configurations, which lie in an object and count layers from 1.
func kimiFields(f *fields) {
	if f.has("linear_attn_config") {
		in := f.inside("linear_attn_config")
		for to, from := range map[string]string{"linear_head_dim": "head_dim", "linear_num_heads": "num_heads", "linear_conv_kernel_dim": "short_conv_kernel_size"} {
			if in.has(from) {
				f.set(to, in.size(from))
			}
		}
		if in.has("full_attn_layers") && in.has("kda_layers") {
			attend, state := in.numbers("full_attn_layers", 1), in.numbers("kda_layers", 1)
			pattern(func(f *fields, i int) string {
				if !slices.Contains(attend, i+1) && !slices.Contains(state, i+1) {
					f.fail("%skda_layers: layer %d is in no list, want each in one of two", in.path, i+1)
				}
				return pick(slices.Contains(state, i+1), linear, full)
			})(f)
		}
	}
	fixed(func(i int) bool { return i > 0 && i%4 == 0 }, full, linear)(f)
}

func laraLayer(_ *fields, i int) string {
	return [5]string{linear, sliding, linear, full, sliding}[i%5]
}

func lfm2Layers(f *fields) {
	if !f.has("full_attn_idxs") {
		uniform(full)(f)
		return
	}
	attend := f.numbers("full_attn_idxs", 0)
	fixed(func(i int) bool { return slices.Contains(attend, i) }, full, "conv")(f)
}

func lfm3Layer(_ *fields, i int) string {
	return pick(i%4 == 2, full, pick(i%4 == 0 && i > 0, sliding, "conv"))
}

// nemotronLayers reads the kinds as a list, or as a letter each: M state, * attention, - and E neither.
func nemotronLayers(f *fields) {
	if !f.has("layer_types") {
		letters := f.text("hybrid_override_pattern")
		if letters == "" {
			f.missing("hybrid_override_pattern", "a letter a layer, or the list layers_block_type")
			return
		}
		kinds := map[rune]string{'M': linear, '*': full, '-': "mlp", 'E': "moe"}
		types := make([]any, 0, len(letters))
		for i, c := range letters {
			k, ok := kinds[c]
			if !ok {
				f.fail("%shybrid_override_pattern: letter %d is %q, want one of M, *, - and E", f.path, i, c)
				return
			}
			types = append(types, k)
		}
		f.set("layer_types", types)
	}
	f.set("num_hidden_layers", len(f.list("layer_types")))
}

// olmoLayers attend every fourth layer, and in short models the last.
func olmoLayers(f *fields) {
	chosen := !f.has("layer_types")
	every(constant(4), full, linear)(f)
	if chosen && f.layerCount() < 4 {
		lastIsFull(f)
	}
}

// olmoFields are made of the attention's where a configuration leaves them out.
func olmoFields(f *fields) {
	fill := func(name string, n func() int) {
		if !f.has(name) {
			f.set(name, n())
		}
	}
	q := func() int { return heads(f) }
	fill("linear_num_key_heads", q)
	fill("linear_num_value_heads", q)
	fill("linear_key_head_dim", func() int {
		return f.divide("hidden_size", 3*f.size("hidden_size")/4, f.size("linear_num_key_heads"))
	})
	fill("linear_value_head_dim", func() int { return 2 * f.size("linear_key_head_dim") })
}

// griffinLayers repeat block_types.
func griffinLayers(f *fields) {
	blocks := f.texts("block_types")
	if len(blocks) == 0 {
		blocks = []string{"recurrent", "recurrent", "attention"}
	}
	delete(f.says, "layer_types")
	pattern(func(_ *fields, i int) string { return pick(blocks[i%len(blocks)] == "recurrent", linear, sliding) })(f)
}

// zambaLayer attends in the third layer, and then by period and offset counted from there.
func zambaLayer(f *fields, i int) string {
	if i < 3 {
		return pick(i == 2, "hybrid", linear)
	}
	each, at := periodOf(f, 6, 4)
	return pick((i-3)%each == at, "hybrid", linear)
}

// compressedLayers reads DeepSeek-V4's kinds of layers, one a layer and those of its drafts after them, and the tokens
// that its compressors make one entry of.
func compressedLayers(f *fields) {
	const heavy, sparse = "heavily_compressed_attention", "compressed_sparse_attention"
	n := f.layerCount()
	if f.has("compress_ratios") && !f.has("layer_types") {
		ratios := f.numbers("compress_ratios", 0)
		types := make([]any, len(ratios))
		for i, r := range ratios {
			name, ok := map[int]string{0: sliding, 4: sparse, 128: heavy}[r]
			if !ok {
				f.fail("%scompress_ratios: layer %d is %d, want 0, 4 or 128", f.path, i, r)
				return
			}
			types[i] = name
		}
		f.set("layer_types", types)
	}
	fixed(func(i int) bool { return i >= 2 && i%2 == 1 }, sparse, heavy)(f)
	types := f.list("layer_types")
	if len(types) > n {
		f.set("layer_types", types[:n])
	}
	rates := map[string]any{}
	if f.has("compress_rates") {
		in := f.inside("compress_rates")
		rates[heavy], rates[sparse] = in.size(heavy), in.size(sparse)
	} else {
		rates[heavy], rates[sparse] = 128, 4
	}
	if f.has("compress_rate_csa") {
		rates[sparse] = f.size("compress_rate_csa")
	}
	if f.has("compress_rate_hca") {
		rates[heavy] = f.size("compress_rate_hca")
	}
	f.set("compress_rates", rates)
}

// twice makes two cached layers of each that a field counts.
func twice(name string) derive {
	return func(f *fields) { f.set("num_hidden_layers", f.times(2, f.size(name))) }
}
