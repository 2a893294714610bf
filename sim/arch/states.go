package arch

// States and indexers of single families.

// innerExpanded is the width inside a Mamba layer; innerGiven is one that a configuration may say itself, and where it
// does that holds.
var (
	innerExpanded = expanded("mamba_expand")
	innerGiven    = either("intermediate_size", expanded("expand"))
)

// expanded is hidden_size times a factor, which every such model has at 2 where it does not say.
func expanded(factor string) size {
	return func(f *fields) int { return f.times(either(factor, constant(2))(f), f.size("hidden_size")) }
}

// kernel is the width of a short convolution, which every such model has at 4 where it does not say.
func kernel(name string) size { return either(name, constant(4)) }

// orAuto reads a field that may be missing or the word auto, which stand for another size.
func orAuto(name string, auto size) size {
	return func(f *fields) int {
		if v, _, _ := f.value(name); v == "auto" || v == nil {
			return auto(f)
		}
		return f.size(name)
	}
}

// sharedBy divides a size by the heads of a state.
func sharedBy(inner size, heads string) size {
	return func(f *fields) int { return f.divide(heads, inner(f), f.size(heads)) }
}

var (
	bambaState = mamba2(innerExpanded, field("mamba_n_heads"), orAuto("mamba_d_head", sharedBy(innerExpanded, "mamba_n_heads")),
		either("mamba_n_groups", constant(1)), field("mamba_d_state"), kernel("mamba_d_conv"))

	falconInner = either("mamba_d_ssm", innerExpanded)
	falconState = mamba2(falconInner, field("mamba_n_heads"), orAuto("mamba_d_head", sharedBy(falconInner, "mamba_n_heads")),
		either("mamba_n_groups", constant(1)), field("mamba_d_state"), kernel("mamba_d_conv"))

	nemotronState = mamba2(nemotronInner, field("mamba_num_heads"), field("mamba_head_dim"),
		either("mamba_n_groups", field("n_groups")), field("ssm_state_size"), either("mamba_d_conv", kernel("conv_kernel")))

	nemotronInner = func(f *fields) int { return f.times(f.size("mamba_num_heads"), f.size("mamba_head_dim")) }

	zamba2State = mamba2(innerExpanded, field("n_mamba_heads"), either("mamba_headdim", sharedBy(innerExpanded, "n_mamba_heads")),
		either("mamba_ngroups", constant(1)), field("mamba_d_state"), kernel("mamba_d_conv"))
)

// bailingFields names the sizes of the delta rule, which has the attention's heads and widths.
func bailingFields(f *fields) {
	fill := func(name string, from size) {
		if !f.has(name) {
			f.set(name, from(f))
		}
	}
	fill("linear_head_dim", field("head_dim"))
	fill("linear_num_heads", heads)
	fill("linear_conv_kernel_dim", kernel("short_conv_kernel_size"))
}

// inklingKeys are attention's, with heads of their own in layers with a window.
func inklingKeys(f *fields, l *Layer, rows Rows) {
	p := ""
	if l.Window > 0 {
		p = "swa_"
	}
	d := field(p + "head_dim")
	attentionOf(field(p+"num_attention_heads"), field(p+"num_key_value_heads"), d, d)(f, l, rows)
}

// inklingState keeps the last inputs of four convolutions: over keys, values, and the layer's two outputs.
func inklingState(f *fields, l *Layer, _ Rows) {
	k := kernel("conv_kernel_size")(f)
	for i, width := range [4]int{f.times(l.KVHeads, l.QKDim), f.times(l.KVHeads, l.VDim), f.size("hidden_size"), f.size("hidden_size")} {
		l.state(number("conv_states", i), Conv, f.times(width, k), Float32)
	}
}

// zayaState keeps the last inputs of two convolutions over queries and keys, and the half of the values that the next
// token uses.
func zayaState(f *fields, l *Layer, _ Rows) {
	kernel := either("cca_time0", constant(2))(f) + either("cca_time1", constant(2))(f) - 2
	l.state(convolution, Conv, f.times(plus(f.times(l.QHeads, l.QKDim), f.times(l.KVHeads, l.QKDim)), kernel), ModelType)
	l.state(recurrence, Recurrent, f.times(l.KVHeads, l.VDim)/2, ModelType)
}

// griffin is a gated linear recurrence behind a short convolution; its states lie in the modules, not in the cache.
func griffin(f *fields, l *Layer, _ Rows) {
	width := either("lru_width", field("hidden_size"))(f)
	l.state("conv1d_state", Conv, f.times(width, kernel("conv1d_width")(f)-1), ModelType)
	l.state("recurrent_states", Recurrent, width, Float32)
	for i := range l.Tensors {
		l.Tensors[i].Module = true
	}
}

// rwkv keeps the last inputs of two mixings, and a numerator, a denominator and a maximum of each channel.
func rwkv(f *fields, l *Layer, _ Rows) {
	hidden := f.size("hidden_size")
	wide := either("attention_hidden_size", field("hidden_size"))(f)
	for i, width := range [5]int{hidden, hidden, wide, wide, wide} {
		t := ModelType
		if i > 1 {
			t = Float32
		}
		l.state(number("state", i), Recurrent, width, t)
	}
}

// xlstm keeps a matrix, a vector and a number for each head.
func xlstm(f *fields, l *Layer, _ Rows) {
	h := f.size("num_heads")
	part := func(name string, factor float64) int {
		if f.has(name) {
			factor = f.real(name)
		}
		return f.divide("hidden_size", int(float64(f.size("hidden_size"))*factor), h)
	}
	qk, v := part("qk_dim_factor", 0.5), part("v_dim_factor", 1)
	for i, width := range [3]int{f.times(h, qk, v), f.times(h, qk), h} {
		l.state(number("rnn_state", i), Recurrent, width, ModelType)
	}
}

// xlstmBlocks reads the number of layers and the width by their other names, where the usual ones are null.
func xlstmBlocks(f *fields) {
	f.set("hidden_size", given("hidden_size", field("embedding_dim"))(f))
	f.set("num_hidden_layers", given("num_hidden_layers", field("num_blocks"))(f))
}

// minimaxIndexer caches one key of all its heads.
func minimaxIndexer(f *fields, l *Layer, _ Rows) {
	l.Index = f.size("index_head_dim")
	l.hold("idx_keys", Indexer, l.Index, Rows{Grow: All}, ModelType)
}

// qwen4Indexer caches keys, and in the first such layer the three positions of each token.
func qwen4Indexer(f *fields, l *Layer, _ Rows) {
	l.Index = f.times(either("indexer_kv_heads", constant(1))(f), f.size("indexer_head_dim"))
	l.hold("indexer_keys", Indexer, l.Index, Rows{Grow: All}, ModelType)
	for i, t := range f.texts("layer_types") {
		if t == indexed || older[t] == indexed {
			if i == l.Block {
				l.hold("indexer_position_ids", Indexer, 3, Rows{Grow: All}, Int64)
			}
			return
		}
	}
}

// qwen4State is the gated delta rule, and in the layers that ple_layer_ids counts from 1 what n-gram embeddings need: the
// last inputs of a dilated convolution over all streams, and the last token ids.
func qwen4State(f *fields, l *Layer, rows Rows) {
	gatedDelta(f, l, rows)
	for _, id := range f.numbers("ple_layer_ids", 1) {
		if id == l.Block+1 {
			gram := either("ngram_size", constant(3))(f)
			l.state(number("conv_states", 1), Conv, f.times(f.size("hidden_size"), f.size("hc_count"), gram, kernel("ple_conv_kernel_size")(f)-1), ModelType)
			l.state(number("conv_states", 2), Other, gram-1, Int64)
			return
		}
	}
}

// compressedKeys are one row a token that is key and value at once, cached twice by layers that compress nothing.
func compressedKeys(f *fields, l *Layer, rows Rows) {
	d := f.size("head_dim")
	l.QHeads, l.KVHeads, l.QKDim = heads(f), 1, d
	l.hold("keys", Key, d, rows, ModelType)
	if l.Kind == sliding {
		l.VDim = d
		l.hold("values", Value, d, rows, ModelType)
	}
}

// compressor holds one entry a block of tokens, and the tokens and gates that wait for their block to fill. Sparse
// layers make an entry of two blocks: they keep both halves of what waits, and one half of the last block.
func compressor(f *fields, l *Layer, _ Rows) { compressOf(f, l, "compressor", f.size("head_dim")) }

// compressedIndex is the indexer's compressor, over narrower rows.
func compressedIndex(f *fields, l *Layer, _ Rows) {
	l.Index = f.size("index_head_dim")
	compressOf(f, l, "indexer", l.Index)
}

func compressOf(f *fields, l *Layer, name string, d int) {
	rate := f.inside("compress_rates").size(l.Kind)
	sparse := l.Kind == "compressed_sparse_attention"
	wide := d
	if sparse {
		wide = f.times(2, d)
	}
	l.hold("buffer_kv['"+name+"']", Compress, wide, Rows{Rest, rate}, ModelType)
	l.hold("buffer_gate['"+name+"']", Compress, wide, Rows{Rest, rate}, ModelType)
	l.hold("compressed_kv['"+name+"']", Compress, d, Rows{Each, rate}, ModelType)
	if sparse {
		l.hold("overlap_kv['"+name+"']", Compress, d, Rows{After, rate}, ModelType)
		l.hold("overlap_gate['"+name+"']", Compress, d, Rows{After, rate}, Float32)
	}
}
