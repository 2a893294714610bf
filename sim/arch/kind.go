package arch

import (
	"kvgauge/sim/record"
)

// kind is what a layer of one name in layer_types caches; the names are transformers' own.
type kind struct {
	keys   bool   // attention's rows
	window string // the field that bounds them to what a query of a sliding window sees
	chunk  string // or to a chunk
	index  bool   // and the family's indexer
	state  bool   // a state of the family's
}

var kinds = map[string]kind{
	"full_attention":    {keys: true},
	"sliding_attention": {keys: true, window: "sliding_window"},
	"chunked_attention": {keys: true, chunk: "attention_chunk_size"},
	"indexed_attention": {keys: true, index: true},
	"minimax_m3_sparse": {keys: true, index: true},
	"linear_attention":  {state: true},
	"conv":              {state: true},
	"hybrid":            {keys: true, state: true},
	"hybrid_sliding":    {keys: true, window: "sliding_window", state: true},
	"moe":               {},
	"mlp":               {},

	"heavily_compressed_attention": {keys: true, window: "sliding_window", state: true},
	"compressed_sparse_attention":  {keys: true, window: "sliding_window", state: true, index: true},
}

// older maps names of layers that released configurations have to those of today.
var older = map[string]string{
	"attention":                 "full_attention",
	"mamba":                     "linear_attention",
	"deepseek_sparse_attention": "indexed_attention",
	"qwen_sparse_attention":     "indexed_attention",
}

const (
	full    = "full_attention"
	sliding = "sliding_attention"
	chunked = "chunked_attention"
	linear  = "linear_attention"
	indexed = "indexed_attention"
)

// derive fills in a field as the type's configuration class does.
type derive func(f *fields)

// pattern makes layer_types, where a configuration has none, from the number of each layer, counted from 0.
func pattern(name func(f *fields, i int) string) derive {
	return func(f *fields) {
		if f.has("layer_types") {
			return
		}
		types := make([]any, f.layerCount())
		for i := range types {
			types[i] = name(f, i)
		}
		f.set("layer_types", types)
	}
}

// every makes each n-th layer one kind and those between another.
func every(n size, nth, other string) derive {
	return pattern(func(f *fields, i int) string {
		if (i+1)%n(f) == 0 {
			return nth
		}
		return other
	})
}

// uniform makes all layers alike.
func uniform(name string) derive {
	return pattern(func(*fields, int) string { return name })
}

// lastFull makes the last layer one of full attention where the class chose the kinds.
func lastFull(d derive) derive {
	return func(f *fields) {
		chosen := !f.has("layer_types")
		if d(f); chosen {
			l := f.list("layer_types")
			l[len(l)-1] = full
		}
	}
}

// layerCount reads the number of layers.
func (f *fields) layerCount() int {
	n := f.size("num_hidden_layers")
	if n > maxLayers {
		_, path, _ := f.value("num_hidden_layers")
		f.fail("%s: %d, want at most %d", path, n, maxLayers)
		return 1
	}
	return n
}

// kindsOf names the kind of every layer. A configuration without layer_types has one kind of layer, or where
// per_layer_config differs one for each, that its window or chunk tells.
func kindsOf(layers []*fields) []string {
	names := make([]string, len(layers))
	var types []string
	if f := layers[0]; f.has("layer_types") {
		types = f.texts("layer_types")
		if len(types) != len(layers) {
			f.fail("%slayer_types: %s, want the %d of num_hidden_layers", f.path, record.Count(len(types), "layer", ""), len(layers))
			return names
		}
	}
	for i, f := range layers {
		switch {
		case types != nil:
			names[i] = types[i]
			if now, ok := older[types[i]]; ok {
				names[i] = now
			}
		case f.has("sliding_window"):
			names[i] = sliding
		case f.has("attention_chunk_size"):
			names[i] = chunked
		default:
			names[i] = full
		}
	}
	return names
}
