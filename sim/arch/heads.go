package arch

import "strconv"

// Keys and values of single families, and layers that are shared or repeated.

func decimal(n int) string { return strconv.Itoa(n) }

// bigcodeHeads: one head of keys and values with multi_query.
func bigcodeHeads(f *fields) int {
	if f.flag("multi_query", true) {
		return 1
	}
	return heads(f)
}

// falconHeads: one with multi_query in the old architecture; else every query head has its own, num_kv_heads or not:
// transformers repeats before it caches.
func falconHeads(f *fields) int {
	if f.flag("multi_query", true) && !f.flag("new_decoder_architecture", false) {
		return 1
	}
	return heads(f)
}

func dbrxHeads(f *fields) int { return f.inside("attn_config").size("kv_n_heads") }

// jetmoeQueries: each expert that a token goes to has queries for all KV heads.
func jetmoeQueries(f *fields) int {
	return f.times(f.size("num_key_value_heads"), f.size("num_experts_per_tok"))
}

func zambaDim(f *fields) int {
	return either("attention_head_dim", func(f *fields) int {
		return f.divide("hidden_size", 2*f.size("hidden_size"), heads(f))
	})(f)
}

// lagunaKeys: layers may differ in query heads.
func lagunaKeys(f *fields, l *Layer, rows Rows) {
	attention(kvGiven, headGiven)(f, l, rows)
	if per := f.numbers("num_attention_heads_per_layer", 1); l.Block < len(per) {
		l.QHeads = per[l.Block]
	}
}

// mimoKeys: twice the KV heads in layers with a window, and values of another width, whatever the swa_ fields say.
func mimoKeys(f *fields, l *Layer, rows Rows) {
	kv := kvGiven
	if l.Window > 0 {
		kv = func(f *fields) int { return f.times(2, kvGiven(f)) }
	}
	attentionOf(heads, kv, headGiven, field("v_head_dim"))(f, l, rows)
}

// localKeys: transformers caches all of layers whose attention has a window.
func localKeys(f *fields, l *Layer, rows Rows) {
	attention(heads, headShare)(f, l, rows)
	if gptNeoLocal(f, l.Block) {
		l.Window = f.size("window_size")
	}
}

// gptNeoLocal reads attention_layers, or attention_types: pairs of a list of kinds and how often it is repeated.
func gptNeoLocal(f *fields, i int) bool {
	if kinds := f.texts("attention_layers"); i < len(kinds) {
		return kinds[i] == "local"
	}
	for _, v := range f.list("attention_types") {
		pair, _ := v.([]any)
		if len(pair) != 2 {
			break
		}
		kinds, _ := pair[0].([]any)
		times, ok := integer(pair[1])
		if !ok || len(kinds) == 0 || times < 0 || times > maxLayers {
			break
		}
		if n := len(kinds) * times; i >= n {
			i -= n
			continue
		}
		return kinds[i%len(kinds)] == "local"
	}
	f.missing("attention_types", "pairs of a list of global and local and a number, one kind a layer")
	return false
}

// prompted is attention behind a learned prompt, whose rows are cached first.
func prompted(f *fields, l *Layer, rows Rows) {
	rows.N = f.size("prompt_length")
	d := field("dim_head")
	attentionOf(heads, heads, d, d)(f, l, rows)
}

// mllamaKeys: layers that read an image cache nothing of the text.
func mllamaKeys(f *fields, l *Layer, rows Rows) {
	cross := []int{3, 8, 13, 18, 23, 28, 33, 38}
	if f.has("cross_attention_layers") {
		cross = f.numbers("cross_attention_layers", 0)
	}
	for _, i := range cross {
		if i == l.Block {
			l.Kind = "cross_attention"
			return
		}
	}
	attention(kvGiven, headShare)(f, l, rows)
}

// reformerStates are the inputs of a layer, and the buckets of its hashed attention from the length that it hashes at.
func reformerStates(f *fields, l *Layer, rows Rows) {
	l.hold("states_cache", Other, f.size("hidden_size"), rows, ModelType)
	if f.texts("attn_layers")[l.Block] == "lsh" {
		l.hold("buckets_cache", Other, f.times(heads(f), either("num_hashes", constant(1))(f)), Rows{Since, reformerHashes(f)}, Int64)
	}
}

// reformerLayers counts the layers by their list.
func reformerLayers(f *fields) {
	kinds := f.texts("attn_layers")
	if len(kinds) == 0 {
		f.missing("attn_layers", "a list of lsh and local, one a layer")
	}
	for i, k := range kinds {
		if k != "lsh" && k != "local" {
			f.fail("%sattn_layers: layer %d is %s, want lsh or local", f.path, i, show(k))
		}
	}
	f.set("num_hidden_layers", len(kinds))
}

// reformerHashes returns the shortest prompt that is hashed: longer than a chunk, padding to whole chunks of both kinds
// included.
func reformerHashes(f *fields) int {
	chunk := either("lsh_attn_chunk_length", constant(64))(f)
	other := chunk
	for _, k := range f.texts("attn_layers") {
		if k == "local" {
			other = either("local_attn_chunk_length", constant(64))(f)
		}
	}
	both := f.times(chunk, other) / gcd(chunk, other)
	if least := min(chunk, other); both > chunk {
		return least + 1
	}
	return chunk + 1
}

func gcd(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// memories are the inputs of a layer, all or the last mem_len.
func memories(f *fields, l *Layer, rows Rows) {
	if !f.given("mem_len") {
		f.missing("mem_len", "the tokens whose states are kept, or null for all")
	}
	if f.has("reuse_len") && f.number("reuse_len", 0) > 0 {
		f.fail("%sreuse_len: %d, want none: what is cached then depends on how the text is cut", f.path, f.number("reuse_len", 0))
	}
	if f.has("mem_len") && f.number("mem_len", 0) > 0 {
		rows = Rows{Ring, f.number("mem_len", 0) + 1}
	}
	l.hold("mems", Other, f.size("hidden_size"), rows, ModelType)
}

// shareLast makes the last num_kv_shared_layers read the last layer of their kind before them. Where all do, they read
// another model's.
func shareLast(f *fields, layers []Layer) []Layer {
	n := 0
	if f.has("num_kv_shared_layers") {
		n = f.number("num_kv_shared_layers", 0)
	}
	if n > len(layers) {
		f.fail("%snum_kv_shared_layers: %d, want at most the %d layers", f.path, n, len(layers))
		return layers
	}
	own := len(layers) - n
	last := map[string]int{}
	for i := range layers {
		l := &layers[i]
		if i < own {
			last[l.Kind] = i
			continue
		}
		l.KVHeads, l.Tensors = 0, nil
		if from, ok := last[l.Kind]; ok {
			l.From = from
		} else if own > 0 {
			f.fail("%snum_kv_shared_layers: layer %d is %s, and no layer before the %d that share is", f.path, i, l.Kind, n)
		}
	}
	return layers
}

// repeat appends the layers from..to, times times.
func repeat(f *fields, layers []Layer, from, to, times int) []Layer {
	if from < 0 || to > len(layers) || from > to {
		f.fail("%s: the layers from %d to %d are run again, want some of the %d", f.path+"loop", from, to, len(layers))
		return layers
	}
	if times > 0 && (to-from) > maxLayers/times {
		f.fail("%s: more than %d layers, want a model's configuration", f.path+"loop", maxLayers)
		return layers
	}
	again := layers[from:to]
	for range times {
		layers = append(layers, again...)
	}
	return layers
}

// doryBlocks counts attention layers where the list also has those without, as released configurations do.
func doryBlocks(f *fields) {
	var attend []any
	without := false
	for _, v := range f.list("layer_types") {
		if v == "mlp" {
			without = true
		} else {
			attend = append(attend, v)
		}
	}
	if !without {
		return
	}
	f.set("layer_types", attend)
	for _, name := range []string{"num_hidden_layers", "n_input_layers", "n_output_layers", "n_recurrent_layers"} {
		if f.has(name) {
			f.set(name, f.number(name, 0)/2)
		}
	}
}

// doryLoops repeats the layers in the middle, each time with a cache of their own or with that of the last.
func doryLoops(f *fields, layers []Layer) []Layer {
	if f.text("recurrent_kv_cache_mode") == "last_loop" {
		return layers
	}
	from := f.number("n_input_layers", 0)
	to := len(layers) - f.number("n_output_layers", 0)
	return repeat(f, layers, from, to, f.size("n_recurrent_loops")-1)
}

// hrmLayers: two stacks of layers, run in cycles, each time with a cache of their own.
func hrmLayers(f *fields) {
	if !f.has("num_layers_per_stack") {
		f.set("num_hidden_layers", f.times(f.size("num_hidden_layers"), either("H_cycles", constant(2))(f), either("L_cycles", constant(3))(f)+1))
	}
}

// inklingLoopFields reads the fields of released configurations, which lie in an object.
func inklingLoopFields(f *fields) {
	if !f.has("loop_config") {
		return
	}
	in := f.inside("loop_config")
	for _, name := range [][2]string{{"loop_layer_index_start", "core_start"}, {"loop_layer_index_end", "core_end"}, {"loop_num_passes", "num_passes"}} {
		if in.has(name[1]) {
			f.set(name[0], in.number(name[1], 0))
		}
	}
}

func inklingLoops(f *fields, layers []Layer) []Layer {
	return repeat(f, layers, f.number("loop_layer_index_start", 0), f.number("loop_layer_index_end", 0), f.size("loop_num_passes")-1)
}
