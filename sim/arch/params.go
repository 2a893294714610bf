package arch

import (
	"errors"
	"fmt"
)

// weights say what the weights of a plain decoder are: embeddings, and in each layer attention, a feed-forward network,
// dense or of experts, and norms. Types that are not in the table are not counted.
type weights struct {
	bias    biases
	norms   int  // vectors of hidden_size a layer
	perHead bool // norms over the channels of one query and one key head; use_qk_norm may ask for them, too
	wide    bool // norms over all queries and over all keys
	sinks   bool // a number for each query head
	final   int  // norms of hidden_size after the last layer
	tied    bool // tie_word_embeddings where a configuration does not say
	forward forward
}

// biases say which projections of attention have one.
type biases struct {
	field  string // the flag that says so; none: always
	absent bool   // where it is missing
	out    string // the same for the output projection, "-" for never
	outAbs bool
}

var (
	unbiased = biases{field: "-", out: "-"}
	flagged  = biases{field: "attention_bias", out: "attention_bias"}
)

// on reads one of the flags.
func (f *fields) on(name string, absent bool) bool {
	return name != "-" && (name == "" || f.flag(name, absent))
}

// forward returns the parameters of the feed-forward network of a layer.
type forward func(f *fields, i int) int

// gated is a network of three matrices, with a flag for biases.
func gated(f *fields, _ int) int {
	h, w := f.size("hidden_size"), f.size("intermediate_size")
	n := f.times(3, h, w)
	if f.flag("mlp_bias", false) {
		n += 2*w + h
	}
	return n
}

// experts is a router and gated networks, none of them shared.
func experts(width string) forward {
	return func(f *fields, _ int) int {
		h := f.size("hidden_size")
		return f.times(routed(f), plus(h, f.times(3, h, f.size(width))))
	}
}

// routed reads the number of experts, which goes by three names that transformers takes for one another.
func routed(f *fields) int {
	for _, name := range []string{"num_local_experts", "n_routed_experts"} {
		if f.has(name) {
			return f.size(name)
		}
	}
	return f.size("num_experts")
}

// sparse has experts in every so many layers, but in those of a list.
func sparse(f *fields, i int) int {
	each := either("decoder_sparse_step", constant(1))(f)
	for _, dense := range f.numbers("mlp_only_layers", 0) {
		if dense == i {
			return gated(f, i)
		}
	}
	if (i+1)%each != 0 {
		return gated(f, i)
	}
	return experts("moe_intermediate_size")(f, i)
}

// late has dense layers first, then experts beside some that every token goes through.
func late(f *fields, i int) int {
	h, w := f.size("hidden_size"), f.size("moe_intermediate_size")
	if i < f.number("first_k_dense_replace", 0) {
		return f.times(3, h, f.size("intermediate_size"))
	}
	shared := 0
	if f.has("n_shared_experts") {
		shared = f.number("n_shared_experts", 0)
	}
	return plus(experts("moe_intermediate_size")(f, i), f.times(3, h, w, shared))
}

// biasedExperts have biases everywhere, gpt-oss's.
func biasedExperts(f *fields, _ int) int {
	h, w, n := f.size("hidden_size"), f.size("intermediate_size"), routed(f)
	return f.times(n, plus(h, 1, f.times(3, h, w), 2*w, h))
}

// weighed are the types whose parameters are counted.
var weighed = map[string]weights{
	"llama":        {bias: flagged, norms: 2, final: 1, forward: gated},
	"mistral":      {bias: unbiased, norms: 2, final: 1, forward: gated},
	"ministral":    {bias: unbiased, norms: 2, final: 1, forward: gated},
	"ministral3":   {bias: unbiased, norms: 2, final: 1, forward: gated},
	"mixtral":      {bias: unbiased, norms: 2, final: 1, forward: experts("intermediate_size")},
	"qwen2":        {bias: biases{out: "-"}, norms: 2, final: 1, forward: gated},
	"qwen3":        {bias: flagged, norms: 2, perHead: true, final: 1, forward: gated},
	"qwen3_moe":    {bias: flagged, norms: 2, perHead: true, final: 1, forward: sparse},
	"gemma":        {bias: flagged, norms: 2, final: 1, tied: true, forward: gated},
	"gemma2":       {bias: flagged, norms: 4, final: 1, tied: true, forward: gated},
	"gemma3_text":  {bias: flagged, norms: 4, perHead: true, final: 1, tied: true, forward: gated},
	"phi3":         {bias: unbiased, norms: 2, final: 1, forward: gated},
	"gpt_oss":      {bias: biases{"attention_bias", true, "attention_bias", true}, norms: 2, sinks: true, final: 1, forward: biasedExperts},
	"olmo":         {bias: flagged, forward: gated},
	"olmo2":        {bias: flagged, norms: 2, wide: true, final: 1, forward: gated},
	"olmo3":        {bias: flagged, norms: 2, wide: true, final: 1, forward: gated},
	"olmoe":        {bias: flagged, norms: 2, wide: true, final: 1, forward: experts("intermediate_size")},
	"granite":      {bias: flagged, norms: 2, final: 1, forward: gated},
	"smollm3":      {bias: flagged, norms: 2, final: 1, tied: true, forward: gated},
	"seed_oss":     {bias: biases{"attention_bias", true, "attention_out_bias", false}, norms: 2, final: 1, forward: gated},
	"minimax_m2":   {bias: unbiased, norms: 2, wide: true, final: 1, forward: experts("intermediate_size")},
	"deepseek_v2":  {norms: 2, final: 1, forward: late},
	"deepseek_v3":  {norms: 2, final: 1, forward: late},
	"deepseek_v32": {norms: 2, final: 1, forward: late},
	"glm4_moe":     {bias: biases{field: "attention_bias", out: "-"}, norms: 2, final: 1, forward: late},
}

// params counts the parameters of a model, or says why it does not.
func params(f *fields, m Model) (int64, error) {
	w, ok := weighed[m.Type]
	switch {
	case f.path != "":
		return 0, errors.New("those beside the model of text are not counted")
	case !ok:
		return 0, fmt.Errorf("those of model type %s are not counted", m.Type)
	}
	var missing error
	at := *f
	at.first = &missing // what only the weights need is no reason to refuse a cache
	f = &at
	hidden := int64(f.size("hidden_size"))
	total := int64(f.times(f.size("vocab_size"), f.size("hidden_size")))
	if !f.flag("tie_word_embeddings", w.tied) {
		total *= 2
	}
	total += int64(w.final) * hidden
	perHead := w.perHead || f.flag("use_qk_norm", false) && !w.wide
	for i, l := range m.Layers {
		n := int64(w.norms)*hidden + int64(w.forward(f, i))
		if l.Rank > 0 {
			n += latentParams(f, l)
		} else {
			n += w.attention(f, l, perHead)
		}
		if total += n; missing != nil {
			return 0, missing
		}
		if n > maxElements {
			return 0, fmt.Errorf("more than %d in one layer, want a model's configuration", int64(maxElements))
		}
	}
	return total, missing
}

// attention counts projections, biases and norms of heads.
func (w weights) attention(f *fields, l Layer, perHead bool) int64 {
	hidden := f.size("hidden_size")
	q, k, v := f.times(l.QHeads, l.QKDim), f.times(l.KVHeads, l.QKDim), f.times(l.KVHeads, l.VDim)
	out := f.times(l.QHeads, l.VDim)
	n := f.times(hidden, plus(q, k, v, out))
	if f.on(w.bias.field, w.bias.absent) {
		n += q + k + v
	}
	if f.on(w.bias.out, w.bias.outAbs) {
		n += hidden
	}
	if perHead {
		n += 2 * l.QKDim
	}
	if w.wide {
		n += q + k
	}
	if w.sinks {
		n += l.QHeads
	}
	return int64(n)
}

// latentParams counts what goes down to latents and up again, and an indexer's.
func latentParams(f *fields, l Layer) int64 {
	hidden, nope, v := f.size("hidden_size"), f.size("qk_nope_head_dim"), f.size("v_head_dim")
	wide := f.times(l.QHeads, nope+l.Rope)
	n := plus(f.times(hidden, l.Rank+l.Rope), l.Rank, f.times(l.Rank, l.QHeads, nope+v), f.times(l.QHeads, v, hidden))
	rank := 0
	if f.has("q_lora_rank") {
		rank = f.size("q_lora_rank")
		n += plus(f.times(hidden, rank), rank, f.times(rank, wide))
	} else {
		n += f.times(hidden, wide)
	}
	if f.flag("attention_bias", false) {
		n += rank + l.Rank + l.Rope + hidden
	}
	if l.Index > 0 {
		heads := f.size("index_n_heads")
		n += plus(f.times(rank, heads, l.Index), f.times(hidden, l.Index), 2*l.Index, f.times(hidden, heads))
	}
	return int64(n)
}
