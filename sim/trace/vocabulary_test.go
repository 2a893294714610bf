package trace

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What is not a field or tensor of a trace, and can change nothing, is said.
func TestUnknown(t *testing.T) {
	for _, version := range []string{"1", "2"} {
		meta, arrays := small("F16")
		meta["version"] = version
		for _, field := range []string{
			"text", "note", "bits_per_token", "x_window", "x_", // for people
			"seed", "zeta", "notes", "num_hidden_layers", "rms_norm_eps", "final_logit_softcapping", "pt_version", "torch.version", "söurcé é",
		} {
			meta[field] = "1"
		}
		one := array{"U8", []int{1}, []byte{0}}
		for _, name := range []string{
			"tokens", "logits", "mask", "model.layers.0.q", "layering", // carried along as ever
			"layers", "layers.x", "layers.3", "layers.-1.mask", "Layer_3.mask", "layers.2.self_attn.q",
			"layers.2.mask", "layers.5.mask", "layers.9.mask", "layers.10.mask", "layers.02.mask", "layers.99999999999999999999.mask",
			"layers.2.kk", "layers.2.w", "layers.2.q_norm",
		} {
			arrays[name] = one
		}
		tr, err := fromBytes(safetensorsOf(meta, arrays))
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"metadata field final_logit_softcapping: not a field of a trace, ignored",
			"metadata field notes: not a field of a trace, ignored",
			"metadata field num_hidden_layers: not a field of a trace, ignored",
			"metadata field pt_version: not a field of a trace, ignored",
			"metadata field rms_norm_eps: not a field of a trace, ignored",
			"metadata field seed: not a field of a trace, ignored",
			"metadata field söurcé é: not a field of a trace, ignored",
			"metadata field torch.version: not a field of a trace, ignored",
			"metadata field zeta: not a field of a trace, ignored",
			"tensor Layer_3.mask: not a tensor of a trace, ignored",
			"tensor layers.-1.mask: not a tensor of a trace, ignored",
			"tensor layers.02.mask: not a tensor of a trace, ignored",
			"tensor layers.2.kk: not a tensor of a trace, ignored",
			"tensor layers.2.mask: not a tensor of a trace, ignored, like those of layers 5,9..10",
			"tensor layers.2.q_norm: not a tensor of a trace, ignored",
			"tensor layers.2.self_attn.q: not a tensor of a trace, ignored",
			"tensor layers.2.w: not a tensor of a trace, ignored",
			"tensor layers.3: not a tensor of a trace, ignored",
			"tensor layers.99999999999999999999.mask: not a tensor of a trace, ignored",
			"tensor layers.x: not a tensor of a trace, ignored",
			"tensor layers: not a tensor of a trace, ignored",
		}
		if !slices.Equal(tr.Unknown, want) {
			t.Errorf("version %s:\n%s\nwant\n%s", version, strings.Join(tr.Unknown, "\n"), strings.Join(want, "\n"))
		}
	}
}

// The same holds within layers.
func TestUnknownOfLayers(t *testing.T) {
	tr, err := editUnequal(func(meta map[string]string, _ map[string]array) {
		meta["layers"] = `{"5":{"window":2,"colour":{"a":[1,2]},"x_any":[],"note":"y","text":null},"2":{"colour":null,"is":true}}`
		meta["colour"] = "red"
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"metadata field colour: not a field of a trace, ignored",
		"metadata field layers: layer 2: colour: not a field of a layer, ignored",
		"metadata field layers: layer 2: is: not a field of a layer, ignored",
		"metadata field layers: layer 5: colour: not a field of a layer, ignored",
	}
	if !slices.Equal(tr.Unknown, want) || tr.At(5).Window != 2 {
		t.Errorf("ignored %q, want %q", tr.Unknown, want)
	}
	for i, line := range tr.Carried() {
		if line != strings.TrimSuffix(want[i], "ignored")+"carried along" {
			t.Errorf("%s, of %s", line, want[i])
		}
	}
}

// What would change attention if it were not ignored is refused with what to use.
func TestMistakenFields(t *testing.T) {
	tests := []struct{ field, version, want string }{
		{"window", "1", "not a field of version 1, want version=2"},
		{"chunk", "1", "not a field of version 1, want version=2"},
		{"softcap", "1", "not a field of version 1, want version=2"},
		{"layers", "1", "not a field of version 1, want version=2"},
		{"rope_factor", "1", "not a field of version 1, want version=2"},
		{"kv_from", "", "of a layer that has no keys and values, want it in metadata field layers"},
		{"rope_tetha", "", "did you mean rope_theta?"},
		{"rope-theta", "", "did you mean rope_theta?"},
		{"ropetheta", "", "did you mean rope_theta?"},
		{"Rope_Theta", "", "did you mean rope_theta?"},
		{"rope_dim", "", "did you mean rope_dims?"},
		{"scales", "", "did you mean scale?"},
		{"scal", "", "did you mean scale?"},
		{"windows", "", "did you mean window?"},
		{"wnidow", "", "did you mean window?"},
		{"chunks", "", "did you mean chunk?"},
		{"soft_cap_", "", "did you mean softcap?"},
		{"layer", "", "did you mean layers?"},
		{"models", "", "did you mean model?"},
		{"n_layers", "", "did you mean num_layers?"},
		{"needle", "", "did you mean needles?"},
		{"sliding_window", "", "want window, of version 2"},
		{"_sliding_window_pattern", "", "want window, of version 2"},
		{"text_config.sliding_window", "", "want window, of version 2"},
		{"layer_types", "", "want window or chunk of each layer in metadata field layers, of version 2"},
		{"attention_chunk_size", "", "want chunk, of version 2"},
		{"attn_logit_softcapping", "", "want softcap, of version 2"},
		{"query_pre_attn_scalar", "", "want scale, the factor itself"},
		{"rope_scaling", "", "want tensor rope_inv_freq"},
		{"rope_parameters", "", "want tensor rope_inv_freq"},
		{"no_rope_layers", "", "want rope_theta null of the layers without it"},
		{"partial_rotary_factor", "", "want rope_dims"},
		{"rope_local_base_freq", "", "want rope_theta (in metadata field layers where it differs)"},
		{"num_key_value_heads", "", "want the heads in the shapes of tensors layers.N.q and layers.N.k"},
		{"head_dim", "", "want the widths in the shapes"},
		{"alibi", "", "want tensors layers.N.alibi"},
		{"attention_sinks", "", "want tensors layers.N.sinks"},
		{"num_kv_shared_layers", "", "want kv_from of layers in metadata field layers, of version 2"},
	}
	for _, tt := range tests {
		for _, version := range []string{"1", "2"} {
			if tt.version != "" && tt.version != version {
				continue
			}
			_, err := edit(func(meta map[string]string, _ map[string]array) { meta[tt.field], meta["version"] = "1", version })
			if err == nil || !strings.HasPrefix(err.Error(), "metadata field "+tt.field+": ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("version %s: %s: %v, want %q", version, tt.field, err, tt.want)
			}
		}
	}
}

func TestMistakenTensors(t *testing.T) {
	tests := []struct{ tensor, version, want string }{
		{"layers.2.sinks", "1", "not a tensor of version 1, want version=2"},
		{"layers.2.alibi", "1", "not a tensor of version 1, want version=2"},
		{"layers.2.rope_inv_freq", "1", "not a tensor of version 1, want version=2"},
		{"layers.2.c", "1", "not a tensor of version 1, want version=2"},
		{"layers.2.c", "2", "beside layers.2.k"},
		{"layers.2.sink", "", "want tensors layers.N.sinks"},
		{"layers.2.sinkz", "", "did you mean sinks?"},
		{"layers.2.alibis", "", "did you mean alibi?"},
		{"layers.2.alibi_slopes", "", "want tensors layers.N.alibi"},
		{"layers.2.inv_freq", "", "want tensor rope_inv_freq or layers.N.rope_inv_freq"},
		{"layers.2.rope_invfreq", "", "did you mean rope_inv_freq?"},
		{"layers.2.kropee", "", "did you mean k_rope?"},
		{"layers.2.self_attn.sinks", "", "want layers.N.sinks"},
		{"model.layers.2.self_attn.sinks", "", "want layers.N.sinks"},
		{"sinks", "", "want layers.N.sinks"},
		{"layers.2.window", "", "want metadata field layers with window in it"},
		{"layers.-1.q", "", "not a tensor of a trace, want layers.N.q, N the layer's number"},
		{"Layers.1.q", "", "want layers.N.q"},
		{"layer.1.k", "", "want layers.N.k"},
		{"layers/1.v", "", "want layers.N.v"},
		{"layers_2.o", "", "want layers.N.o"},
		{"layers. 1.c", "", "want layers.N.c"},
		{"layers.2.Q", "", "want layers.N.q"},
		{"layers.2.Sinks", "", "want layers.N.sinks"},
		{"rope_inv_frq", "", "did you mean rope_inv_freq?"},
	}
	for _, tt := range tests {
		for _, version := range []string{"1", "2"} {
			if tt.version != "" && tt.version != version {
				continue
			}
			_, err := edit(func(meta map[string]string, arrays map[string]array) {
				meta["version"], arrays[tt.tensor] = version, floats(1, 1, 1, 1)
			})
			if err == nil || !strings.HasPrefix(err.Error(), "tensor "+tt.tensor+": ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("version %s: %s: %v, want %q", version, tt.tensor, err, tt.want)
			}
		}
	}
}

// Very many strangers are counted.
func TestManyUnknown(t *testing.T) {
	tr, err := edit(func(meta map[string]string, _ map[string]array) {
		for i := range 100 {
			meta[fmt.Sprintf("hparam_%03d", i)] = ""
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(tr.Unknown); n != 41 || tr.Unknown[39] != "metadata field hparam_039: not a field of a trace, ignored" ||
		tr.Unknown[40] != "60 more fields and tensors: not of a trace, ignored" {
		t.Errorf("%d lines: %q", n, tr.Unknown)
	}
}

// An array that is no tensor is as unknown as one that is.
func TestUnknownArrays(t *testing.T) {
	meta, arrays := small("F16")
	files := filesOf(meta, arrays)
	words := npyWith("{'descr': '<U5', 'fortran_order': False, 'shape': (1,), }", make([]byte, 20))
	files["layers.2.names.npy"], files["names.npy"], files["broken.npy"] = words, words, []byte("no array")
	files["none.npy"] = scalarOf("|O", "()", make([]byte, 8))
	files["dtype.npy"] = scalarOf("|S8", "()", []byte("bfloat16"))
	tr := open(t, writeFolder(t, files), Options{})
	if want := []string{
		"array broken: a text, want a NumPy array; ignored",
		"array layers.2.names: dtype <U5, want f2, f4 or f8, such as x.astype(numpy.float32); ignored",
		"array names: dtype <U5, want f2, f4 or f8, such as x.astype(numpy.float32); ignored",
		"array none: dtype |O, want a number or a text: leave None out, put other objects through json.dumps; ignored",
		"metadata field dtype: bfloat16, which no array is, ignored",
	}; !slices.Equal(tr.Unknown, want) || !slices.Equal(tr.Carried(), want) {
		t.Errorf("ignored %q, want %q", tr.Unknown, want)
	}
}

// No name that a configuration uses is a field of a trace, and each is listed once.
func TestConfigFields(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range configFields {
		for _, name := range f.names {
			if known, err := checkField(name, secondVersion); known || err == nil {
				t.Errorf("%s: known %t, %v", name, known, err)
			}
			if seen[name] {
				t.Errorf("%s is listed twice", name)
			}
			seen[name] = true
		}
	}
}

// The names that this program knows are in no need of a warning, whatever is asked of them.
func TestKnownFields(t *testing.T) {
	for _, name := range slices.Concat(traceFields, layerFields, freeFields) {
		_, own := ownFields[name] // which is of single layers alone
		if known, err := checkField(name, secondVersion); known == own || (err != nil) != own {
			t.Errorf("%s: %t, %v", name, known, err)
		}
	}
	for _, kind := range slices.Concat(rowTensors, secondTensors, []string{outputTensor}) {
		if err := checkTensor(fmt.Sprintf("layers.0.%s", kind), kind, secondVersion); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
