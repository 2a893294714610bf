package model

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// changed copies a checkpoint with some fields of its configuration set; null takes a field away.
func changed(t testing.TB, name string, set string) string {
	t.Helper()
	dir := t.TempDir()
	entries, err := os.ReadDir(filepath.Join(checkpoints, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(checkpoints, name, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() == "config.json" {
			fields := map[string]json.RawMessage{}
			for _, object := range [][]byte{text, []byte(set)} {
				if err := json.Unmarshal(object, &fields); err != nil {
					t.Fatal(err)
				}
			}
			maps.DeleteFunc(fields, func(_ string, v json.RawMessage) bool { return string(v) == `"absent"` })
			text, _ = json.Marshal(fields)
		}
		write(t, filepath.Join(dir, e.Name()), text)
	}
	return dir
}

func write(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
}

// refused wants one line with some words.
func refused(t *testing.T, path string, words ...string) {
	t.Helper()
	m, err := Open(path)
	if err == nil {
		_ = m.Close()
		t.Fatalf("opened, want %q", words)
	}
	for _, w := range append(words, "model ") {
		if !strings.Contains(err.Error(), w) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %q, want %q", err, w)
		}
	}
}

// TestRefusedConfigurations changes a configuration so that transformers would compute something else, or nothing.
func TestRefusedConfigurations(t *testing.T) {
	for _, c := range []struct{ name, set, want string }{
		{"llama", `{"model_type":"bloom"}`, `field model_type: bloom has no forward pass here, want one of gemma2`},
		{"llama", `{"model_type":"absent"}`, `field model_type: missing`},
		{"llama", `{"model_type":5}`, `field model_type: 5, want a string`},
		{"llama", `{"hidden_size":"absent"}`, `field hidden_size: missing, want a whole number`},
		{"llama", `{"num_hidden_layers":"absent"}`, `field num_hidden_layers: missing`},
		{"llama", `{"num_attention_heads":"absent"}`, `field num_attention_heads: missing`},
		{"llama", `{"vocab_size":"absent"}`, `field vocab_size: missing`},
		{"llama", `{"intermediate_size":"absent"}`, `field intermediate_size: missing`},
		{"llama", `{"rms_norm_eps":"absent"}`, `field rms_norm_eps: missing`},
		{"llama", `{"hidden_act":"absent"}`, `field hidden_act: missing`},
		{"llama", `{"hidden_size":32.5}`, `field hidden_size: 32.5, want a whole number`},
		{"llama", `{"hidden_size":-1}`, `field hidden_size: -1`},
		{"llama", `{"hidden_size":1e300}`, `field hidden_size: 1e300`},
		{"llama", `{"num_hidden_layers":1000000000}`, `field num_hidden_layers: 1000000000, want a whole number from 1 to 4096`},
		{"llama", `{"num_hidden_layers":4096}`, `tensor model.layers.2.input_layernorm.weight: missing`},
		{"llama", `{"vocab_size":60000000}`, `tensor model.embed_tokens.weight: shape [60 32], want [60000000 32]`},
		{"llama", `{"num_attention_heads":3}`, `field num_attention_heads: 3, want a multiple of num_key_value_heads, 2`},
		{"llama", `{"hidden_act":"relu2"}`, `field hidden_act: relu2, want silu or`},
		{"llama", `{"attention_bias":true}`, `tensor model.layers.0.self_attn.q_proj.bias: missing, want shape [32]`},
		{"llama", `{"attention_bias":"yes"}`, `field attention_bias: "\"yes\"", want true or false`},
		{"llama", `{"attn_logit_softcapping":30.0}`, `field attn_logit_softcapping: 30.0, which the forward pass of this model_type does not know`},
		{"llama", `{"sliding_window":128}`, `field sliding_window: 128`},
		{"llama", `{"residual_multiplier":0.5}`, `field residual_multiplier: 0.5`},
		{"llama", `{"no_rope_layers":[1,0]}`, `field no_rope_layers: [1,0]`},
		{"llama", `{"quantization_config":{"quant_method":"mxfp4"}}`, `field quantization_config: mxfp4 weights are not read, want F32, F16 or BF16`},
		{"llama", `{"rope_parameters":{"rope_type":"longrope"}}`, `field rope_parameters.rope_type: longrope, want default, linear, dynamic, llama3, yarn`},
		{"llama", `{"rope_parameters":{"type":"mrope"}}`, `field rope_parameters.type: mrope`},
		{"llama", `{"rope_parameters":{"rope_type":"linear"}}`, `field rope_parameters.factor: missing`},
		{"llama", `{"rope_parameters":{"rope_type":"linear","factor":0}}`, `field rope_parameters.factor: 0, want a finite number above 0`},
		{"llama", `{"rope_parameters":{"rope_type":"default","factor":2}}`, `field rope_parameters.factor: not a field of rope_type default`},
		{"llama", `{"rope_parameters":{"rope_type":"default","partial_rotary_factor":0.5}}`, `field rope_parameters.partial_rotary_factor: 0.5, want 1`},
		{"llama", `{"rope_parameters":{"rope_type":"dynamic","factor":2},"max_position_embeddings":null}`, `field max_position_embeddings: missing, want it for rope_type dynamic`},
		{"llama", `{"rope_scaling":{"rope_type":"linear","factor":2}}`, `field rope_scaling: not the same as rope_parameters`},
		{"mistral", `{"layer_types":["full_attention","sliding_attention"]}`, `field layer_types`},
		{"qwen2", `{"layer_types":["full_attention"]}`, `field layer_types: 1 layer, want num_hidden_layers, 2`},
		{"qwen2", `{"layer_types":["full_attention","linear_attention"]}`, `field layer_types: layer 1: linear_attention, want sliding_attention or full_attention`},
		{"qwen2", `{"sliding_window":null}`, `field sliding_window: missing, want the window of layer 1`},
		{"qwen3_moe", `{"num_local_experts":"absent"}`, `field num_experts: missing`},
		{"qwen3_moe", `{"num_experts_per_tok":5}`, `field num_experts_per_tok: 5, want at most the 4 experts`},
		{"qwen3_moe", `{"num_local_experts":6}`, `tensor model.layers.0.mlp.gate.weight: shape [4 32], want [6 32]`},
		{"smollm3", `{"no_rope_layers":[1]}`, `field no_rope_layers: 1 layer, want num_hidden_layers, 3`},
		{"phi3", `{"rope_parameters":{"rope_type":"longrope","short_factor":[1],"long_factor":[1]}}`, `short_factor: 1 numbers, want 8`},
		{"phi3", `{"rope_parameters":{"rope_type":"linear","factor":2}}`, `rope_type: linear, want default, longrope`},
		{"gemma2", `{"use_bidirectional_attention":true}`, `field use_bidirectional_attention: true, want false`},
		{"gemma3_text", `{"attn_logit_softcapping":50}`, `field attn_logit_softcapping: 50, want null`},
		{"gemma3", `{"text_config":null}`, `field text_config: missing`},
		{"gemma3", `{"text_config":{"num_hidden_layers":2,"hidden_size":true}}`, `field text_config.hidden_size: true`},
	} {
		t.Run(c.name+" "+c.set, func(t *testing.T) { refused(t, changed(t, c.name, c.set), c.want) })
	}
}

// TestAcceptedConfigurations changes nothing that is computed.
func TestAcceptedConfigurations(t *testing.T) {
	for _, c := range []struct{ name, set, ignored string }{
		{"llama", `{"attn_logit_softcapping":null,"sliding_window":null,"use_sliding_window":false,"quantization_config":null}`, ""},
		{"llama", `{"num_key_value_heads":2.0,"head_dim":"absent","tie_word_embeddings":"absent"}`, ""},
		{"llama", `{"rope_parameters":"absent"}`, ""},
		{"llama", `{"rope_parameters":{"rope_type":"linear","factor":2,"rope_theta":5},"rope_scaling":{"type":"linear","factor":2,"rope_theta":5}}`, ""},
		{"llama", `{"our_note":"hello"}`, "config.json: field our_note: not known, ignored"},
	} {
		t.Run(c.name+" "+c.set, func(t *testing.T) {
			m := openModel(t, changed(t, c.name, c.set))
			if got := strings.Join(m.Ignored, "\n"); got != c.ignored {
				t.Errorf("ignored %q, want %q", got, c.ignored)
			}
		})
	}
}

// safetensorsOf is a file of tensors of zeros.
func safetensorsOf(dtype string, shapes map[string][]int) []byte {
	header, at := map[string]any{}, 0
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		n := map[string]int{"F32": 4, "F16": 2, "I8": 1}[dtype]
		for _, d := range shapes[name] {
			n *= d
		}
		header[name] = map[string]any{"dtype": dtype, "shape": shapes[name], "data_offsets": []int{at, at + n}}
		at += n
	}
	text, _ := json.Marshal(header)
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), make([]byte, at)...)
}

// TestRefusedTensors damages the files of tensors.
func TestRefusedTensors(t *testing.T) {
	file := func(name string) string { return filepath.Join(changed(t, name, "{}"), "model.safetensors") }
	t.Run("cut", func(t *testing.T) {
		path := file("llama")
		text, _ := os.ReadFile(path)
		write(t, path, text[:len(text)-100])
		refused(t, filepath.Dir(path), "cut short")
	})
	t.Run("absent", func(t *testing.T) {
		path := file("llama")
		_ = os.Remove(path)
		refused(t, filepath.Dir(path), "no model.safetensors and no model.safetensors.index.json")
	})
	t.Run("empty", func(t *testing.T) { refused(t, t.TempDir(), "config.json: no such file") })
	t.Run("nowhere", func(t *testing.T) { refused(t, filepath.Join(t.TempDir(), "none"), "no such file") })
	t.Run("config of another kind", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "config.json"), []byte("[1, 2]"))
		refused(t, dir, "config.json: byte 1: array, want an object")
		write(t, filepath.Join(dir, "config.json"), []byte(`{"model_type":"llama","hidden_size":64,"hidden_size":32}`))
		refused(t, dir, "config.json: field hidden_size: it stands there twice, want one value")
	})
	t.Run("gguf", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "m.gguf")
		write(t, path, []byte("GGUF"))
		refused(t, path, "GGUF files are not read yet")
	})
	t.Run("missing", func(t *testing.T) {
		path := file("llama")
		write(t, path, safetensorsOf("F32", map[string][]int{"model.embed_tokens.weight": {60, 32}, "lm_head.weight": {60, 32}}))
		refused(t, filepath.Dir(path), "tensor model.norm.weight: missing, want shape [32]")
	})
	t.Run("type", func(t *testing.T) {
		path := file("llama")
		write(t, path, safetensorsOf("I8", map[string][]int{"model.embed_tokens.weight": {60, 32}}))
		refused(t, filepath.Dir(path), "tensor model.embed_tokens.weight: dtype I8, want F32, F16 or BF16")
	})
	t.Run("mxfp4", func(t *testing.T) {
		path := file("gpt_oss")
		refusedMXFP4(t, path)
	})
	for _, shard := range []string{"nowhere.safetensors", "../x.safetensors", "/etc/passwd", "sub/x.safetensors", ".."} {
		t.Run("shard "+shard, func(t *testing.T) {
			dir := changed(t, "llama_shards", "{}")
			path := filepath.Join(dir, indexFile)
			text, _ := os.ReadFile(path)
			write(t, path, bytes.Replace(text, []byte("model-00002-of-00003.safetensors"), []byte(shard), 1))
			refused(t, dir, shard)
		})
	}
	t.Run("tensor in another shard", func(t *testing.T) {
		dir := changed(t, "llama_shards", "{}")
		path := filepath.Join(dir, indexFile)
		text, _ := os.ReadFile(path)
		write(t, path, bytes.Replace(text, []byte("model-00002-of-00003.safetensors"), []byte("model-00001-of-00003.safetensors"), 1))
		refused(t, dir, "model-00001-of-00003.safetensors: tensor", "missing, and model.safetensors.index.json says that it is there")
	})
	t.Run("index of another kind", func(t *testing.T) {
		dir := changed(t, "llama_shards", "{}")
		write(t, filepath.Join(dir, indexFile), []byte(`{"weight_map":[]}`))
		refused(t, dir, "model.safetensors.index.json: field weight_map")
	})
}

// refusedMXFP4 gives the experts of a layer the names that mxfp4 has.
func refusedMXFP4(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old, as := []byte(`"model.layers.0.mlp.experts.gate_up_proj":{`), []byte(`"model.layers.0.mlp.experts.gate_up_proj_blocks":{`)
	if !bytes.Contains(text, old) {
		t.Fatal("no such tensor")
	}
	size := binary.LittleEndian.Uint64(text)
	text = bytes.Replace(text, old, as, 1)
	binary.LittleEndian.PutUint64(text, size+uint64(len(as)-len(old)))
	write(t, path, text)
	refused(t, filepath.Dir(path), "model.layers.0.mlp.experts.gate_up_proj_blocks: mxfp4 weights are not read")
}

// TestStrangeTensors names tensors of layers that no pass reads, but for the tables of old checkpoints.
func TestStrangeTensors(t *testing.T) {
	path := filepath.Join(changed(t, "llama", "{}"), "model.safetensors")
	m := openModel(t, filepath.Dir(path))
	shapes := map[string][]int{"model.layers.0.self_attn.q_proj.bias": {32}, "model.layers.1.self_attn.rotary_emb.inv_freq": {4}, "visual.x": {1}}
	for name, x := range m.tensors.tensors {
		shapes[name] = x.shape
	}
	write(t, path, safetensorsOf("F16", shapes))
	got := openModel(t, filepath.Dir(path)).Ignored
	if want := []string{"tensor model.layers.0.self_attn.q_proj.bias: none of this model_type, ignored"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// llama2COf writes a Llama of transformers as llama2.c does: float32, neighbours rotated together.
func llama2COf(t testing.TB, m *Model) []byte {
	t.Helper()
	var b bytes.Buffer
	header := llama2CHeader{int32(m.Hidden), int32(m.MLP), int32(m.Layers), int32(m.QHeads), int32(m.KVHeads), -int32(m.Vocabulary), 64}
	put := func(x any) {
		if err := binary.Write(&b, binary.LittleEndian, x); err != nil {
			t.Fatal(err)
		}
	}
	put(header)
	r := &reader{m: m}
	tensor := func(name string) []float32 {
		shape := m.tensors.tensors[name].shape
		return r.vector(name, 0, shape[0]*append(shape, 1)[1], 0)
	}
	put(tensor("model.embed_tokens.weight"))
	for _, name := range []string{
		"input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm",
		"mlp.gate_proj", "mlp.down_proj", "mlp.up_proj",
	} {
		for l := range m.Layers {
			x := tensor(m.name(l, name+".weight"))
			if name == "self_attn.q_proj" || name == "self_attn.k_proj" {
				x = neighbours(x, m.HeadDim, m.Hidden)
			}
			put(x)
		}
	}
	put(tensor("model.norm.weight"))
	put(make([]float32, 64*m.HeadDim))
	put(tensor("lm_head.weight"))
	return b.Bytes()
}

// neighbours brings the rows of each head from halves to pairs: row i and i+dim/2 to 2i and 2i+1.
func neighbours(x []float32, dim, cols int) []float32 {
	out := make([]float32, 0, len(x))
	for head := range slices.Chunk(x, dim*cols) {
		for i := range dim / 2 {
			out = append(out, head[i*cols:(i+1)*cols]...)
			out = append(out, head[(i+dim/2)*cols:(i+dim/2+1)*cols]...)
		}
	}
	return out
}

// TestLlama2C computes from a file of llama2.c what transformers does from the same weights.
func TestLlama2C(t *testing.T) {
	whole := llama2COf(t, openModel(t, filepath.Join(checkpoints, "llama")))
	path := filepath.Join(t.TempDir(), "tiny.bin")
	write(t, path, whole)
	m, r := openModel(t, path), openReference(t, "llama")
	if m.Name != "tiny" {
		t.Errorf("name %q", m.Name)
	}
	p, err := m.Prefill(r.ids(t, "token_ids"), nil)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "logits", allLogits(t, p), r.floats(t, "logits"))

	for name, c := range map[string]struct {
		change func(b []byte) []byte
		want   string
	}{
		"header alone": {func(b []byte) []byte { return b[:20] }, "20 bytes, want at least the 28"},
		"cut":          {func(b []byte) []byte { return b[:len(b)-1] }, "cut short?"},
		"longer":       {func(b []byte) []byte { return append(b, 0) }, "want the"},
		"no layers":    {func(b []byte) []byte { return putInt(b, 2, 0) }, "byte 8: n_layers 0, want 1 to"},
		"many layers":  {func(b []byte) []byte { return putInt(b, 2, 1<<30) }, "byte 8: n_layers 1073741824"},
		"huge":         {func(b []byte) []byte { return putInt(b, 1, 1<<22) }, "cut short?"},
		"heads":        {func(b []byte) []byte { return putInt(b, 3, 5) }, "byte 12: n_heads 5"},
		"kv heads":     {func(b []byte) []byte { return putInt(b, 4, 3) }, "byte 16: n_kv_heads 3, want a divisor of n_heads, 4"},
		"vocabulary":   {func(b []byte) []byte { return putInt(b, 5, -1<<31) }, "byte 20: vocab_size"},
		"version 1":    {func(b []byte) []byte { return append([]byte("24ka"), b...) }, "version 1 or later"},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, path, c.change(bytes.Clone(whole)))
			refused(t, path, c.want)
		})
	}
}

// putInt sets number i of a header.
func putInt(b []byte, i, value int) []byte {
	binary.LittleEndian.PutUint32(b[4*i:], uint32(value))
	return b
}

// TestPrefillRefuses refuses tokens that the model does not have, and logits of a model without a head.
func TestPrefillRefuses(t *testing.T) {
	m := openModel(t, filepath.Join(checkpoints, "llama"))
	for _, ids := range [][]int32{nil, {1, 60}, {-1}} {
		if _, err := m.Prefill(ids, nil); err == nil {
			t.Errorf("%v taken", ids)
		}
	}
	m.head = ""
	p, err := m.Prefill([]int32{1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Logits(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "lm_head.weight: missing") {
		t.Errorf("error %v", err)
	}
}

// TestCapture reads back what is written: rows as they are, attention by layer, and outputs that the rows give.
func TestCapture(t *testing.T) {
	for _, name := range []string{"llama", "gemma2", "gemma3_text", "gpt_oss", "smollm3"} {
		t.Run(name, func(t *testing.T) {
			m, r := openModel(t, filepath.Join(checkpoints, name)), openReference(t, name)
			ids := r.ids(t, "token_ids")
			dir := t.TempDir()
			path, logits := filepath.Join(dir, "t.safetensors"), filepath.Join(dir, "l.safetensors")
			last, done := 5, 0
			c := Capture{
				Tokens: ids, Layers: []int{0, m.Layers - 1}, Last: last, Dtype: "F32", Path: path, Logits: logits, Source: "a test",
				Progress: func(d, total int) {
					if done = d; d > total {
						t.Errorf("%d of %d", d, total)
					}
				},
			}
			if err := c.Write(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if want := 3 * m.Layers; done != want {
				t.Errorf("progress ended at %d, want %d", done, want)
			}
			tr, err := trace.Open(path, trace.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			if len(tr.Unknown) > 0 || tr.NumLayers != m.Layers || tr.Tokens != len(ids) || tr.Queries != last {
				t.Errorf("%q, header %+v", tr.Unknown, tr.Header)
			}
			first := len(ids) - last
			for _, l := range tr.Layers {
				rows, err := tr.Read(l, len(ids), 0)
				if err != nil {
					t.Fatal(err)
				}
				out, err := tr.Outputs(l, first, last)
				if err != nil {
					t.Fatal(err)
				}
				of := fmt.Sprintf("layers.%d.", l)
				near(t, of+"k", byToken(rows.K, m.HeadDim), r.floats(t, of+"k"))
				near(t, of+"v", byToken(rows.V, m.HeadDim), r.floats(t, of+"v"))
				near(t, of+"q", byToken(rows.Q, m.HeadDim), r.floats(t, of+"q")[first*m.QHeads*m.HeadDim:])
				near(t, of+"o", byToken(out, m.HeadDim), r.floats(t, of+"o")[first*m.QHeads*m.HeadDim:])
				checkOutputs(t, tr.At(l), rows, out, first)
			}
			text, err := trace.OpenTensors(logits)
			if err != nil {
				t.Fatal(err)
			}
			defer text.Close()
			near(t, "logits", reference{text}.floats(t, "logits"), r.floats(t, "logits"))
		})
	}
}

// checkOutputs attends over a trace's rows as its metadata say, in float64.
func checkOutputs(t *testing.T, a *trace.Attention, rows *trace.Layer, out [][]float32, first int) {
	t.Helper()
	for h, want := range out {
		j := h / (a.QHeads / a.KVHeads)
		logits, lse := kernel.LogitsExact(rows.Q[h], a.QKDim, a.Rule(h), rows.K[j], nil, kernel.Sights(first, len(want)/a.VDim))
		var got []float32
		for _, x := range kernel.WeightedSumExact(logits, lse, a.VDim, rows.V[j]) {
			got = append(got, float32(x))
		}
		near(t, fmt.Sprintf("outputs of head %d", h), got, want)
	}
}

// TestCaptureRefuses leaves nothing behind where it refuses.
func TestCaptureRefuses(t *testing.T) {
	m := openModel(t, filepath.Join(checkpoints, "llama"))
	dir := t.TempDir()
	for want, c := range map[string]Capture{
		"layer 2, want 0 to 1":            {Tokens: []int32{1}, Layers: []int{2}},
		"2 tokens, want at most the 1":    {Tokens: []int32{1}, Last: 2},
		"token 1: id 60, want 0 to 59":    {Tokens: []int32{1, 60}},
		"no tokens, want at least one":    {},
		"dtype F8, want F32, F16 or BF16": {Tokens: []int32{1}, Dtype: "F8"},
	} {
		c.Path = filepath.Join(dir, "t.safetensors")
		if err := c.Write(t.Context(), m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestMemory compares the estimate with what a pass holds.
func TestMemory(t *testing.T) {
	for _, name := range []string{"llama", "qwen3_moe", "gpt_oss"} {
		m := openModel(t, filepath.Join(checkpoints, name))
		ids := make([]int32, 3000)
		before := heap()
		p, err := m.Prefill(ids, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		held, estimate := heap()-before, m.Memory(len(ids), false)
		if share := float64(estimate) / float64(held); share < 0.7 || share > 1.3 {
			t.Errorf("%s: %d bytes estimated, %d held", name, estimate, held)
		}
		runtime.KeepAlive(p)
	}
}

// heap is what lives.
func heap() int64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// TestJoinedExperts puts the experts of each layer into one tensor, gate above up, as transformers 5 holds them in memory.
func TestJoinedExperts(t *testing.T) {
	dir := changed(t, "qwen3_moe", "{}")
	m, r := openModel(t, dir), openReference(t, "qwen3_moe")
	shapes, data := map[string][]int{}, map[string][]byte{}
	bytesOf := func(name string) []byte {
		x := m.tensors.tensors[name]
		buf := make([]byte, m.tensors.bytes(name))
		if _, err := x.r.ReadAt(buf, 0); err != nil {
			t.Fatal(err)
		}
		return buf
	}
	for name, x := range m.tensors.tensors {
		if !isExpert(name) {
			shapes[name], data[name] = x.shape, bytesOf(name)
		}
	}
	e := m.Experts
	for l := range m.Layers {
		if !m.sparse(l) {
			continue
		}
		gateUp, down := m.name(l, gateUpOfAll), m.name(l, downOfAll)
		shapes[gateUp], shapes[down] = []int{e.Count, 2 * e.Width, m.Hidden}, []int{e.Count, m.Hidden, e.Width}
		for i := range e.Count {
			of := m.name(l, fmt.Sprintf("mlp.experts.%d.", i))
			data[gateUp] = append(append(data[gateUp], bytesOf(of+"gate_proj.weight")...), bytesOf(of+"up_proj.weight")...)
			data[down] = append(data[down], bytesOf(of+"down_proj.weight")...)
		}
	}
	file := safetensorsOf("F16", shapes)
	at := 8 + int(binary.LittleEndian.Uint64(file))
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		at += copy(file[at:], data[name])
	}
	if at != len(file) {
		t.Fatalf("%d of %d bytes", at, len(file))
	}
	write(t, filepath.Join(dir, "model.safetensors"), file)
	p, err := openModel(t, dir).Prefill(r.ids(t, "token_ids"), nil)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "logits", allLogits(t, p), r.floats(t, "logits"))
}
