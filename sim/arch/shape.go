package arch

import "strconv"

// size is a number that a configuration says, or what its class makes of others.
type size func(f *fields) int

// field is a size that must be there.
func field(name string) size { return func(f *fields) int { return f.size(name) } }

// either is a field that may be missing or null, and what stands for it then.
func either(name string, absent size) size {
	return func(f *fields) int {
		if f.has(name) {
			return f.size(name)
		}
		return absent(f)
	}
}

// given is a field that must be there, its class's default being one model's own; null stands for another size.
func given(name string, null size) size {
	return func(f *fields) int {
		if f.has(name) || !f.given(name) {
			return f.size(name)
		}
		return null(f)
	}
}

// constant is a default that configurations leave out.
func constant(n int) size { return func(*fields) int { return n } }

// share is a width divided by the number of heads.
func share(width, heads string) size {
	return func(f *fields) int { return f.divide(width, f.size(width), f.size(heads)) }
}

// The usual sizes of attention, with the usual names.
var (
	heads     = field("num_attention_heads")
	headShare = share("hidden_size", "num_attention_heads")
	headDim   = either("head_dim", headShare) // head_dim is the exception
	headGiven = given("head_dim", headShare)  // head_dim is the rule
	kvHeads   = either("num_key_value_heads", heads)
	kvGiven   = given("num_key_value_heads", heads)
)

// part adds to a layer one of the things that it caches, with as many rows as its kind of layer keeps.
type part func(f *fields, l *Layer, rows Rows)

// hold adds a tensor.
func (l *Layer) hold(name string, role Role, row int, rows Rows, t Type) {
	l.Tensors = append(l.Tensors, Tensor{Name: name, Role: role, Row: int64(row), Rows: rows, Type: t})
}

// state adds a tensor whose size tokens do not change.
func (l *Layer) state(name string, role Role, elements int, t Type) {
	l.hold(name, role, elements, Rows{Once, 1}, t)
}

// convolve adds the last inputs of a short convolution: a row for each place of its kernel. Engines that keep one less say
// so themselves.
func (l *Layer) convolve(f *fields, width, kernel int) {
	f.times(width, kernel) // within bounds
	l.hold(convolution, Conv, width, Rows{Once, kernel}, ModelType)
}

// attention caches keys and values of so many heads and channels.
func attention(kv, dim size) part { return attentionOf(heads, kv, dim, dim) }

// attentionOf has keys and values of different widths.
func attentionOf(q, kv, qk, v size) part {
	return func(f *fields, l *Layer, rows Rows) {
		l.QHeads, l.KVHeads, l.QKDim, l.VDim = q(f), kv(f), qk(f), v(f)
		l.hold("keys", Key, f.times(l.KVHeads, l.QKDim), rows, ModelType)
		l.hold("values", Value, f.times(l.KVHeads, l.VDim), rows, ModelType)
	}
}

// latent is multi-head latent attention: one latent row and one rotated row a token, for all heads. What the heads make
// of them is not cached, but a configuration that says it wrongly is no model's.
func latent(f *fields, l *Layer, rows Rows) {
	l.QHeads, l.Rank, l.Rope = heads(f), f.size("kv_lora_rank"), f.size("qk_rope_head_dim")
	for _, name := range []string{"qk_nope_head_dim", "v_head_dim"} {
		if f.has(name) {
			f.size(name)
		}
	}
	l.hold("keys", Latent, l.Rank, rows, ModelType)
	l.hold("values", Rotary, l.Rope, rows, ModelType)
}

// indexer caches one key a token that chooses what attention reads.
func indexer(f *fields, l *Layer, _ Rows) {
	l.Index = f.size("index_head_dim")
	l.hold("indexer_keys", Indexer, l.Index, Rows{Grow: All}, ModelType)
}

// floatIndexer is one whose keys are float32 in every model.
func floatIndexer(f *fields, l *Layer, rows Rows) {
	indexer(f, l, rows)
	l.Tensors[len(l.Tensors)-1].Type = Float32
}

// shareable is an indexer that layers may take over from a layer before them: indexer_types says which.
func shareable(f *fields, l *Layer, rows Rows) {
	types := f.texts("indexer_types")
	if l.Block >= len(types) {
		f.missing("indexer_types", "full or shared for every layer")
		return
	}
	if types[l.Block] != "shared" {
		indexer(f, l, rows)
	}
}

// convolution and recurrence name the states as transformers does.
const (
	convolution = "conv_states[0]"
	recurrence  = "recurrent_states[0]"
)

// gatedDelta is a gated delta rule: the last inputs of the convolution over queries, keys and values, and a matrix for
// each value head.
func gatedDelta(f *fields, l *Layer, _ Rows) {
	kh, kd := f.size("linear_num_key_heads"), f.size("linear_key_head_dim")
	vh, vd := f.size("linear_num_value_heads"), f.size("linear_value_head_dim")
	l.convolve(f, plus(f.times(2, kh, kd), f.times(vh, vd)), kernel("linear_conv_kernel_dim")(f))
	l.state(recurrence, Recurrent, f.times(vh, kd, vd), Float32)
}

// kimiDelta is Kimi's delta rule: all heads alike, a matrix each.
func kimiDelta(f *fields, l *Layer, _ Rows) {
	h, d := f.size("linear_num_heads"), f.size("linear_head_dim")
	l.convolve(f, f.times(3, h, d), kernel("linear_conv_kernel_dim")(f))
	l.state(recurrence, Recurrent, f.times(h, d, d), Float32)
}

// mamba is a selective state space model of version 1: every inner channel has its own state.
func mamba(inner, state, kernel size) part {
	return func(f *fields, l *Layer, _ Rows) {
		i := inner(f)
		l.convolve(f, i, kernel(f))
		l.state(recurrence, Recurrent, f.times(i, state(f)), Float32)
	}
}

// mamba2 is version 2: heads with a matrix each; the convolution also runs over the groups' inputs and outputs.
func mamba2(inner, heads, dim, groups, state, kernel size) part {
	return func(f *fields, l *Layer, _ Rows) {
		n := state(f)
		l.convolve(f, plus(inner(f), f.times(2, groups(f), n)), kernel(f))
		l.state(recurrence, Recurrent, f.times(heads(f), dim(f), n), Float32)
	}
}

// shortConvolution keeps the last inputs of a convolution over the hidden channels, which has one width in all models of
// a type.
func shortConvolution(width int) part {
	return func(f *fields, l *Layer, _ Rows) {
		l.convolve(f, f.size("hidden_size"), either("conv_L_cache", constant(width))(f))
	}
}

// lightning is MiniMax's linear attention: a matrix for each head.
func lightning(f *fields, l *Layer, _ Rows) {
	d := headDim(f)
	l.state("linear_cache", Recurrent, f.times(heads(f), d, d), ModelType)
}

// number names the i-th of several states.
func number(name string, i int) string { return name + "[" + strconv.Itoa(i) + "]" }
