package arch

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const smallLlama = `{"model_type":"llama","hidden_size":64,"num_hidden_layers":3,"num_attention_heads":4,"num_key_value_heads":2}`

const smallLatent = `{"model_type":"deepseek_v3","hidden_size":64,"num_hidden_layers":3,"num_attention_heads":4,"kv_lora_rank":16,"qk_rope_head_dim":8}`

// with returns a configuration with fields set, or with null deleted.
func with(t *testing.T, config, changes string) []byte {
	t.Helper()
	var c, d map[string]any
	for text, into := range map[string]*map[string]any{config: &c, changes: &d} {
		numbers := json.NewDecoder(strings.NewReader(text))
		numbers.UseNumber() // as they are written
		if err := numbers.Decode(into); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	for name, v := range d {
		if c[name] = v; v == "-" {
			delete(c, name)
		}
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ config, changes, want string }{
		{smallLlama, `{"hidden_size":"-"}`, "hidden_size: missing, want an integer from 1"},
		{smallLlama, `{"num_hidden_layers":"-"}`, "num_hidden_layers: missing"},
		{smallLlama, `{"num_attention_heads":"-"}`, "num_attention_heads: missing"},
		{smallLlama, `{"model_type":"-"}`, "model_type: missing"},
		{smallLlama, `{"model_type":"lama"}`, `model_type: "lama" is not known, want one of the `},
		{smallLlama, `{"model_type":"lama"}`, "the nearest is llama"},
		{smallLlama, `{"dtype":"banana"}`, `dtype: "banana", want bfloat16, float16 (half), float32 (float), float8_e4m3fn or null`},
		{smallLlama, `{"torch_dtype":"float64"}`, `torch_dtype: "float64", want bfloat16`},
		{smallLlama, `{"torch_dtype":"torch.double"}`, `torch_dtype: "torch.double", want bfloat16`},
		{smallLlama, `{"torch_dtype":"int8"}`, `torch_dtype: "int8", want bfloat16`},
		{smallLlama, `{"torch_dtype":"f32"}`, `torch_dtype: "f32", want bfloat16`},
		{smallLlama, `{"torch_dtype":"fp16"}`, `torch_dtype: "fp16", want bfloat16`},
		{smallLlama, `{"torch_dtype":"auto"}`, `torch_dtype: "auto", want bfloat16`},
		{smallLlama, `{"torch_dtype":""}`, `torch_dtype: "", want bfloat16`},
		{smallLlama, `{"dtype":"float16","torch_dtype":"banana"}`, `torch_dtype: "banana", want bfloat16`},
		{smallLlama, `{"model_type":"gemma3","text_config":{"dtype":"fp16"}}`, `text_config.dtype: "fp16", want bfloat16`},
		{smallLlama, `{"model_type":7}`, "model_type: 7, want a string"},
		{smallLlama, `{"model_type":"openai-gpt"}`, "openai-gpt has no cache in transformers"},
		{smallLlama, `{"model_type":"bert"}`, "is_decoder: not true, want a decoder"},
		{smallLlama, `{"hidden_size":0}`, "hidden_size: 0, want an integer from 1"},
		{smallLlama, `{"hidden_size":-64}`, "hidden_size: -64, want"},
		{smallLlama, `{"hidden_size":64.5}`, "hidden_size: 64.5, want"},
		{smallLlama, `{"hidden_size":"64"}`, `hidden_size: "64", want`},
		{smallLlama, `{"hidden_size":1e300}`, "hidden_size: 1e300, want"},
		{smallLlama, `{"hidden_size":[64]}`, "hidden_size: [64], want"},
		{smallLlama, `{"num_hidden_layers":1025}`, "num_hidden_layers: 1025, want at most 1024"},
		{smallLlama, `{"num_attention_heads":65}`, "hidden_size: 64, want at least one for each of 65"},
		{smallLlama, `{"head_dim":2147483647,"num_key_value_heads":2147483647}`, "a layer of more than"},
		{smallLlama, `{"head_dim":2147483647,"num_attention_heads":100,"num_key_value_heads":100}`, "elements a token"},
		{smallLlama, `{"head_dim":16,"num_attention_heads":1000000000}`, "num_attention_heads: 1000000000, want at most 65536"},
		{smallLlama, `{"model_type":"gpt_neox","hidden_size":2147483647,"num_attention_heads":65537}`, "num_attention_heads: 65537, want at most 65536"},
		{smallLlama, `{"num_key_value_heads":3}`, "num_key_value_heads: 3, want a divisor of the 4 query heads of layer 0"},
		{smallLlama, `{"num_key_value_heads":8}`, "num_key_value_heads: 8, want a divisor of the 4 query heads of layer 0"},
		{smallLlama, `{"per_layer_config":{"1":{"num_key_value_heads":3}}}`, "per_layer_config.1.num_key_value_heads: 3, want a divisor of the 4 query heads of layer 1"},
		{smallLlama, `{"model_type":"gemma3","text_config":{"num_hidden_layers":1,"num_attention_heads":6,"sliding_window":8}}`, "text_config.num_key_value_heads: 4, want a divisor of the 6"},
		{smallLlama, `{"model_type":"dbrx","d_model":64,"n_layers":2,"n_heads":4,"num_key_value_heads":"-","attn_config":{"kv_n_heads":3}}`, "attn_config.kv_n_heads: 3, want a divisor of the 4"},
		{smallLlama, `{"model_type":"gpt_neox","num_key_value_heads":"x"}`, `num_key_value_heads: "x", want an integer from 0`},
		{smallLlama, `{"model_type":"gpt_neox","head_dim":-1}`, "head_dim: -1, want an integer from 0"},
		{smallLatent, `{"v_head_dim":"x"}`, `v_head_dim: "x", want an integer from 1`},
		{smallLatent, `{"v_head_dim":0}`, "v_head_dim: 0, want an integer from 1"},
		{smallLatent, `{"qk_nope_head_dim":-1}`, "qk_nope_head_dim: -1, want an integer from 1"},
		{smallLatent, `{"qk_nope_head_dim":4611686018427387904}`, "qk_nope_head_dim: 4611686018427387904, want an integer from 1"},
		{smallLatent, `{"q_lora_rank":"x"}`, `q_lora_rank: "x", want an integer from 0`},
		{smallLatent, `{"num_key_value_heads":-2}`, "num_key_value_heads: -2, want an integer from 0"},
		{smallLlama, `{"layer_types":["full_attention"]}`, "layer_types: 1 layer, want the 3 of num_hidden_layers"},
		{smallLlama, `{"layer_types":["full_attention","conv","full_attention"]}`, `layer_types: layer 1 is "conv", want a kind that this type has`},
		{smallLlama, `{"layer_types":["full_attention","sliding_attention","full_attention"]}`, "sliding_window: missing"},
		{smallLlama, `{"layer_types":[1,2,3]}`, "layer_types: element 0 is 1, want a string"},
		{smallLlama, `{"layer_types":"full_attention"}`, `layer_types: "full_attention", want a list`},
		{smallLlama, `{"per_layer_config":{"3":{"head_dim":8}}}`, "per_layer_config.3: want the number of a layer below 3"},
		{smallLlama, `{"per_layer_config":{"1":{"head_dim":0}}}`, "per_layer_config.1.head_dim: 0, want"},
		{smallLlama, `{"per_layer_config":{"1":{"skip":["mlp"]}}}`, "per_layer_config.1.skip: "},
		{smallLlama, `{"per_layer_config":[]}`, "per_layer_config: [], want an object"},
		{smallLlama, `{"model_type":"mistral"}`, "sliding_window: missing, want the tokens that a query sees, or null"},
		{smallLlama, `{"model_type":"qwen3"}`, "head_dim: missing"},
		{smallLlama, `{"model_type":"qwen2","num_key_value_heads":"-"}`, "num_key_value_heads: missing"},
		{smallLlama, `{"model_type":"deepseek_v3"}`, "kv_lora_rank: missing"},
		{smallLlama, `{"model_type":"gemma3"}`, "sliding_window: missing"},
		{smallLlama, `{"model_type":"gemma3","text_config":7}`, "text_config: 7, want an object"},
		{smallLlama, `{"model_type":"gemma3","text_config":{"model_type":"gemma3"}}`, "text_config.model_type: \"gemma3\", want a model of text"},
		{smallLlama, `{"model_type":"gemma3","text_config":{"hidden_size":64}}`, "text_config.num_hidden_layers: missing"},
		{smallLlama, `{"model_type":"gpt2","num_hidden_layers":"-"}`, "n_layer: missing"},
		{smallLlama, `{"model_type":"gemma3n_text","head_dim":16}`, "num_kv_shared_layers: missing"},
		{smallLlama, `{"model_type":"gemma4_text","head_dim":16,"sliding_window":8,"num_kv_shared_layers":4}`, "num_kv_shared_layers: 4, want at most the 3 layers"},
		{smallLlama, `{"model_type":"nemotron_h","hybrid_override_pattern":"M?"}`, "hybrid_override_pattern: letter 1 is '?', want one of M, *, - and E"},
		{smallLlama, `{"model_type":"reformer"}`, "attn_layers: missing"},
		{smallLlama, `{"model_type":"reformer","attn_layers":[]}`, "attn_layers: [], want a list"},
		{smallLlama, `{"model_type":"reformer","attn_layers":["lsh","far"]}`, "attn_layers: layer 1 is \"far\""},
	} {
		m, err := Read(with(t, c.config, c.changes))
		if err == nil {
			t.Errorf("%s: %d layers, want %q", c.changes, len(m.Layers), c.want)
		} else if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", c.changes, err, c.want)
		}
	}
	for config, want := range map[string]string{
		``:                        "it ends too early",
		`{"model_type":`:          "it ends too early",
		`[]`:                      "byte 1: array, want an object",
		`null`:                    "model_type: missing",
		`{"model_type":"llama"}}`: "byte 22: more after the end of the object",
		`{model_type}`:            "byte 2: ",
		`{"model_type":"llama","hidden_size":64,"hidden_size":32}`:                        `"hidden_size": it stands there twice`,
		`{"model_type":"gemma3","text_config":{"a":[{},{"b":1}],"b":{"b":2},"\u0061":2}}`: `"text_config.a": it stands there twice`,
		`{"model_type":"llama","quantization_config":{"a":[1,{"b":1,"c":2,"b":1}]}}`:      `"quantization_config.a.b": it stands there twice`,
	} {
		if _, err := Read([]byte(config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
}

// TestDType: types go by torch's names, its aliases too, and the field of today comes first.
func TestDType(t *testing.T) {
	for changes, want := range map[string]string{
		`{}`:                                            "",
		`{"dtype":null}`:                                "",
		`{"dtype":"bfloat16"}`:                          "bfloat16",
		`{"torch_dtype":"half"}`:                        "float16",
		`{"torch_dtype":"float"}`:                       "float32",
		`{"torch_dtype":"torch.float16"}`:               "float16",
		`{"torch_dtype":"float8_e4m3fn"}`:               "float8_e4m3fn",
		`{"dtype":"float32","torch_dtype":"bfloat16"}`:  "float32",
		`{"dtype":null,"torch_dtype":"torch.bfloat16"}`: "bfloat16",
	} {
		if m, err := Read(with(t, smallLlama, changes)); err != nil || m.DType != want {
			t.Errorf("%s: %q, %v, want %q", changes, m.DType, err, want)
		}
	}
}

// TestPerLayer: per_layer_config is over the configuration's own fields, its keys padded or not.
func TestPerLayer(t *testing.T) {
	m, err := Read(with(t, smallLlama, `{"per_layer_config":{"00":{"num_key_value_heads":4,"head_dim":8},"2":{"sliding_window":10}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Tensor{
		{Name: "keys", Role: Key, Row: 32, Rows: Rows{Grow: All}, Type: ModelType},
		{Name: "keys", Role: Key, Row: 32, Rows: Rows{Grow: All}, Type: ModelType},
		{Name: "keys", Role: Key, Row: 32, Rows: Rows{Ring, 10}, Type: ModelType},
	} {
		if got := m.Layers[i].Tensors[0]; got != want {
			t.Errorf("layer %d: %+v, want %+v", i, got, want)
		}
	}
	if l := m.Layers[0]; l.KVHeads != 4 || l.QKDim != 8 || m.Layers[1].KVHeads != 2 || m.Layers[2].Window != 10 {
		t.Errorf("layers %+v", m.Layers)
	}
}

// TestPython: configurations that Python wrote have numbers that JSON does not.
func TestPython(t *testing.T) {
	m, err := Read([]byte(`{"a":[0.0,Infinity,-Infinity,NaN],"b":"-Infinity \"NaN",` + smallLlama[1:]))
	if err != nil || len(m.Layers) != 3 {
		t.Errorf("%d layers, %v", len(m.Layers), err)
	}
}

// TestInside: a configuration of text says the same alone, inside a larger model's, and with that model's fields beside it.
func TestInside(t *testing.T) {
	alone := map[string]json.RawMessage{}
	for _, c := range readMeasured(t) {
		var head struct {
			Type string `json:"model_type"`
		}
		if err := json.Unmarshal(c.Config, &head); err != nil {
			t.Fatal(err)
		}
		alone[head.Type] = c.Config
	}
	for name, outer := range types {
		if outer.text == "" {
			continue
		}
		config, ok := alone[outer.of]
		if !ok {
			continue // measured inside
		}
		want, err := Read(config)
		if err != nil {
			t.Fatal(err)
		}
		text := string(config)
		for form, config := range map[string][]byte{
			"inside": []byte(`{"model_type":"` + name + `","` + outer.text + `":` + text + `}`),
			"beside": with(t, text, `{"model_type":"`+name+`"}`),
		} {
			got, err := Read(config)
			if err != nil || !reflect.DeepEqual(got.Layers, want.Layers) || got.Type != outer.of {
				t.Errorf("%s, %s: %s, %v, want the layers of %s", name, form, got.Type, err, outer.of)
			}
		}
	}
}

// TestShared: layers that share name the layer whose keys and values they read, the last of their kind before them.
func TestShared(t *testing.T) {
	p, err := Find("gemma-4-e2b")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Read(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range m.Layers {
		want := -1
		if i >= 15 {
			want = 13
			if l.Kind == full {
				want = 14
			}
		}
		if l.From != want || (l.From < 0) != (len(l.Tensors) == 2) {
			t.Errorf("layer %d reads %d and has %d tensors, want %d", i, l.From, len(l.Tensors), want)
		}
	}
}

// TestWeights holds the parameters to those that the published weights have: the totals of their safetensors files.
func TestWeights(t *testing.T) {
	for name, want := range map[string]int64{
		"gemma-2-9b":      9_241_705_984,
		"gpt-oss-120b":    116_829_156_672,
		"gpt-oss-20b":     20_914_757_184,
		"llama-2-7b":      6_738_415_616,
		"llama-3-8b":      8_030_261_248,
		"llama-3.1-405b":  405_853_388_800,
		"llama-3.2-1b":    1_235_814_400,
		"mistral-7b-v0.1": 7_241_732_096,
		"mixtral-8x7b":    46_702_792_704,
		"phi-4":           14_659_507_200,
		"qwen2.5-7b":      7_615_616_512,
		"qwen3-30b-a3b":   30_532_122_624,
		"qwen3-8b":        8_190_735_360,
		"smollm2-135m":    134_515_008,
		"gemma-3-27b":     0, // its configuration says no vocabulary
		"jamba-v0.1":      0, // not a plain decoder
	} {
		p, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := Read(p.Config); err != nil || m.Params != want {
			t.Errorf("%s: %d parameters, %v, want %d", name, m.Params, err, want)
		}
	}
}

// TestUncounted: where parameters are not counted, the reason is the field's, the type's, or that of what lies beside text.
func TestUncounted(t *testing.T) {
	whole := string(with(t, smallLlama, `{"intermediate_size":128,"vocab_size":100}`))
	for changes, want := range map[string]string{
		`{}`:                           "",
		`{"intermediate_size":-1}`:     "intermediate_size: -1, want an integer from 1",
		`{"intermediate_size":"8"}`:    `intermediate_size: "8", want an integer from 1`,
		`{"intermediate_size":[8]}`:    "intermediate_size: [8], want an integer from 1",
		`{"intermediate_size":null}`:   "intermediate_size: null, want an integer from 1",
		`{"intermediate_size":"-"}`:    "intermediate_size: missing, want an integer from 1",
		`{"vocab_size":"-"}`:           "vocab_size: missing, want an integer from 1",
		`{"vocab_size":0}`:             "vocab_size: 0, want an integer from 1",
		`{"tie_word_embeddings":"no"}`: `tie_word_embeddings: "no", want true or false`,
		`{"model_type":"cohere"}`:      "those of model type cohere are not counted",
		`{"model_type":"llava"}`:       "",
		`{"vocab_size":2147483647,"hidden_size":2147483644,"head_dim":16}`: "config: a layer of more than",
	} {
		m, err := Read(with(t, whole, changes))
		if err != nil || !strings.HasPrefix(m.Uncounted, want) || (m.Params > 0) != (m.Uncounted == "") || (want != "") == (m.Params > 0) {
			t.Errorf("%s: %d parameters, %q, %v, want %q", changes, m.Params, m.Uncounted, err, want)
		}
	}
	if m, err := Read([]byte(`{"model_type":"llava","text_config":` + whole + `}`)); err != nil || m.Params != 0 || m.Uncounted != "those beside the model of text are not counted" {
		t.Errorf("inside: %d parameters, %q, %v", m.Params, m.Uncounted, err)
	}
}

func FuzzRead(f *testing.F) {
	for _, c := range readMeasured(f) {
		f.Add([]byte(c.Config))
		if c.Other != nil {
			f.Add([]byte(c.Other))
		}
	}
	for _, p := range Presets() {
		f.Add([]byte(p.Config))
	}
	f.Fuzz(func(t *testing.T, config []byte) {
		m, err := Read(config)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: want one line", err)
			}
			return
		}
		if len(m.Layers) == 0 {
			t.Error("no layers and no error")
		}
		before := int64(-1)
		for _, n := range []int{0, 1, 1000, MostTokens} {
			b := m.Bytes(n, 0, 8)
			if b < before && n != 1000 || b < 0 {
				t.Errorf("%d bytes after %d tokens, %d after fewer", b, n, before)
			}
			before = b
		}
		for i, l := range m.Layers {
			if l.From >= i || l.Window < 0 || l.Chunk < 0 || l.KVHeads < 0 || l.Rank < 0 {
				t.Errorf("layer %d: %+v", i, l)
			}
		}
	})
}
