package arch

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"kvgauge/sim/record"
)

// Read reads a configuration in Hugging Face's form: JSON with model_type. The error names the field that is missing or
// wrong, or the type that is not known.
func Read(config []byte) (Model, error) {
	var says map[string]any
	config = finite(config)
	d := json.NewDecoder(bytes.NewReader(config))
	d.UseNumber()
	if err := d.Decode(&says); err != nil {
		return Model{}, fmt.Errorf("not a configuration: %w", record.JSONError(err))
	}
	if _, err := d.Token(); err != io.EOF {
		return Model{}, fmt.Errorf("not a configuration: byte %d: more after the end of the object", d.InputOffset())
	}
	if name := record.RepeatedField(config); name != "" {
		return Model{}, fmt.Errorf("%s: it stands there twice, want one value", show(name))
	}
	var first error
	f := &fields{says: says, first: &first}
	return read(f)
}

// read follows a configuration into the part that generates text, and reads that.
func read(f *fields) (Model, error) {
	name := f.text("model_type")
	t, err := familyOf(f, name)
	if err != nil {
		return Model{}, err
	}
	dtype, quantised := f.dtype(), f.quantised()
	if t.text != "" {
		in := f
		if f.has(t.text) {
			in = f.inside(t.text)
		}
		if in == f || !in.has("model_type") {
			in.set("model_type", t.of) // older configurations say the fields of text beside those of the whole
		}
		if *f.first != nil {
			return Model{}, *f.first
		}
		f = in
		if name = f.text("model_type"); types[name].text != "" {
			return Model{}, fmt.Errorf("%smodel_type: %s, want a model of text", f.path, show(name))
		}
		if t, err = familyOf(f, name); err != nil {
			return Model{}, err
		}
		dtype, quantised = cmp.Or(f.dtype(), dtype), cmp.Or(f.quantised(), quantised)
	}
	m := Model{Type: name, DType: dtype, Quantised: quantised, Layers: t.layers(f)}
	m.QHeads = f.optional("num_attention_heads")
	m.Hidden = f.optional("hidden_size")
	m.Vocab = f.optional("vocab_size")
	m.MaxTokens = f.optional("max_position_embeddings")
	for _, name := range unread {
		f.optional(name)
	}
	if *f.first == nil {
		m.bound(f)
	}
	if *f.first != nil {
		return Model{}, *f.first
	}
	if m.Params, err = params(f, m); err != nil {
		m.Uncounted = err.Error()
	}
	return m, nil
}

// familyOf finds a type in the table.
func familyOf(f *fields, name string) (family, error) {
	if *f.first != nil {
		return family{}, *f.first
	}
	if name == "" {
		f.missing("model_type", "the name of a type, as transformers calls it")
		return family{}, *f.first
	}
	t, ok := types[name]
	if why := uncached[name]; why != "" {
		return family{}, fmt.Errorf("%smodel_type: %s %s", f.path, name, why)
	}
	if !ok {
		near := ""
		if n := record.Nearest(name, Types()); n != "" {
			near = "; the nearest is " + n
		}
		return family{}, fmt.Errorf("%smodel_type: %s is not known, want one of the %d that are%s", f.path, show(name), len(types), near)
	}
	return t, nil
}

// Types returns the model types that Read knows, sorted.
func Types() []string { return slices.Sorted(maps.Keys(types)) }

// dtypes are the types of weights whose caches are known, by the names that torch has for them.
var dtypes = map[string]string{
	"bfloat16": "bfloat16", "float16": "float16", "half": "float16", "float32": "float32", "float": "float32",
	"float8_e4m3fn": "float8_e4m3fn",
}

// dtype reads the type of the weights, by its name of today or the one before; transformers takes the first where both
// are there.
func (f *fields) dtype() string {
	before := f.typeOf("torch_dtype")
	return cmp.Or(f.typeOf("dtype"), before)
}

// typeOf reads a field that names a type as torch does: "" where it is missing or null.
func (f *fields) typeOf(name string) string {
	if !f.has(name) {
		return ""
	}
	said := f.text(name)
	d, ok := dtypes[strings.TrimPrefix(said, "torch.")]
	if !ok {
		_, path, _ := f.value(name)
		f.fail("%s: %s, want bfloat16, float16 (half), float32 (float), float8_e4m3fn or null", path, show(said))
	}
	return d
}

// quantised reads how the weights are stored, where that is not in their type.
func (f *fields) quantised() string {
	if !f.has("quantization_config") {
		return ""
	}
	return cmp.Or(f.inside("quantization_config").text("quant_method"), "a method that it does not name")
}

// unread are fields of attention that caches of some types do not follow from; wrong ones are refused all the same.
var unread = []string{"num_key_value_heads", "head_dim", "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "qk_head_dim", "v_head_dim"}

// optional reads a size that nothing cached follows from: 0 where it is missing.
func (f *fields) optional(name string) int {
	if !f.has(name) {
		return 0
	}
	return f.number(name, 0)
}

// bound refuses what no model caches, so that sums of bytes cannot overflow.
func (m Model) bound(f *fields) {
	rows, states := int64(0), int64(0)
	if m.QHeads > maxHeads {
		_, path, _ := f.value("num_attention_heads")
		f.fail("%s: %d, want at most %d", path, m.QHeads, maxHeads)
	}
	for i, l := range m.Layers {
		if max(l.QHeads, l.KVHeads) > maxHeads {
			f.fail("%s: %d query heads and %d KV heads in layer %d, want at most %d", f.config(), l.QHeads, l.KVHeads, i, maxHeads)
		}
		for _, t := range l.Tensors {
			if t.Rows.Grow == Once {
				states += t.Row * int64(t.Rows.N)
			} else {
				rows += t.Row
			}
		}
	}
	if rows > maxRow || states > maxElements {
		f.fail("%d elements a token and %d in states, want at most %d and %d", rows, states, int64(maxRow), int64(maxElements))
	}
	if len(m.Layers) > maxLayers {
		f.fail("%d layers, want at most %d", len(m.Layers), maxLayers)
	}
}

// finite replaces the words Infinity, -Infinity and NaN, which Python writes and JSON does not have, by 0: no field
// that is read here has them.
func finite(config []byte) []byte {
	var out []byte
	quoted := false
	for i := 0; i < len(config); i++ {
		switch c := config[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == 'I' || c == 'N' || c == '-'):
			for _, word := range []string{"-Infinity", "Infinity", "NaN"} {
				if bytes.HasPrefix(config[i:], []byte(word)) {
					if out == nil {
						out = slices.Clone(config)
					}
					copy(out[i:], "0"+strings.Repeat(" ", len(word)-1))
					i += len(word) - 1
					break
				}
			}
		}
	}
	if out == nil {
		return config
	}
	return out
}
