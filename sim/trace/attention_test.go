package trace

import (
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// editUnequal makes a trace of version 2 from the parts of the unequal one.
func editUnequal(change func(meta map[string]string, arrays map[string]array)) (*Trace, error) {
	meta, arrays := unequal("F16")
	change(meta, arrays)
	return fromBytes(safetensorsOf(meta, arrays))
}

// Every layer has its own heads and widths, and the rows that belong to them.
func TestUnequalShapes(t *testing.T) {
	for dtype := range rowBytes {
		meta, arrays := unequal(dtype)
		tr, err := fromBytes(safetensorsOf(meta, arrays))
		if err != nil {
			t.Fatal(err)
		}
		want := []Attention{
			{QHeads: 4, KVHeads: 2, QKDim: 4, VDim: 8, Scale: 0.5, RopeFactor: 1},
			{QHeads: 6, KVHeads: 1, QKDim: 8, VDim: 2, Scale: 1 / math.Sqrt(8), RopeFactor: 1},
		}
		if !reflect.DeepEqual(tr.Attention, want) || tr.Tokens != 6 || tr.Queries != 4 || tr.Unknown != nil {
			t.Errorf("read %+v", tr.Header)
		}
		for _, layer := range tr.Layers {
			checkDigits(t, tr, layer)
		}
	}
}

// What one field or tensor of version 2 makes of the two layers, whose attention is plain otherwise.
func TestAttention(t *testing.T) {
	plain := [2]Attention{
		{QHeads: 4, KVHeads: 2, QKDim: 4, VDim: 8, Scale: 0.5, RopeFactor: 1},
		{QHeads: 6, KVHeads: 1, QKDim: 8, VDim: 2, Scale: 1 / math.Sqrt(8), RopeFactor: 1},
	}
	rope := func(theta float64, style string, freq ...float64) Rope {
		return Rope{Theta: theta, Style: style, Dims: 2 * len(freq), InvFreq: freq}
	}
	tests := []struct {
		name   string
		change func(meta map[string]string, arrays map[string]array)
		want   func(a, b *Attention) // of layers 2 and 5
	}{
		{"empty", func(meta map[string]string, _ map[string]array) { meta["layers"] = "{}" }, func(*Attention, *Attention) {}},
		{
			"window", func(meta map[string]string, _ map[string]array) { meta["window"] = "3" },
			func(a, b *Attention) { a.Window, b.Window = 3, 3 },
		},
		{
			"window of one", func(meta map[string]string, _ map[string]array) { meta["layers"] = `{"5":{"window":2147483647}}` },
			func(_, b *Attention) { b.Window = 2147483647 },
		},
		{
			"own before default", func(meta map[string]string, _ map[string]array) {
				meta["window"], meta["layers"] = "3", `{"5":{"window":4}, "2":{}}`
			},
			func(a, b *Attention) { a.Window, b.Window = 3, 4 },
		},
		{
			"none before default", func(meta map[string]string, _ map[string]array) {
				meta["window"], meta["chunk"], meta["softcap"] = "3", "2", "30"
				meta["layers"] = `{"5":{"window":null,"chunk":null,"softcap":null}}`
			},
			func(a, _ *Attention) { a.Window, a.Chunk, a.Softcap = 3, 2, 30 },
		},
		{
			"chunk", func(meta map[string]string, _ map[string]array) { meta["layers"] = `{"2":{"chunk":4}}` },
			func(a, _ *Attention) { a.Chunk = 4 },
		},
		{
			"softcap", func(meta map[string]string, _ map[string]array) {
				meta["softcap"], meta["layers"] = "50", `{"2":{"softcap":3e1}}`
			},
			func(a, b *Attention) { a.Softcap, b.Softcap = 30, 50 },
		},
		{
			"scale", func(meta map[string]string, _ map[string]array) { meta["layers"] = `{"5":{"scale":0.0625}}` },
			func(_, b *Attention) { b.Scale = 0.0625 },
		},
		{
			"rope", func(meta map[string]string, _ map[string]array) { meta["rope_theta"] = "10000" },
			func(a, b *Attention) {
				a.Rope, b.Rope = rope(10000, "neox", 1, 0.01), rope(10000, "neox", 1, 0.1, 0.01, 0.001)
			},
		},
		{
			"two ropes", func(meta map[string]string, _ map[string]array) {
				meta["rope_theta"], meta["rope_style"], meta["rope_factor"] = "10000", "gptj", "1.25"
				meta["layers"] = `{"5":{"rope_theta":1e6,"rope_style":"neox","rope_dims":4,"rope_factor":0.5}}`
			},
			func(a, b *Attention) {
				a.Rope, a.RopeFactor = rope(10000, "gptj", 1, 0.01), 1.25
				b.Rope, b.RopeFactor = rope(1e6, "neox", 1, 0.001), 0.5
			},
		},
		{ // rope_dims of all is too wide for the layer without
			"no rope in one", func(meta map[string]string, _ map[string]array) {
				meta["rope_theta"], meta["rope_dims"], meta["rope_factor"] = "10000", "8", "2"
				meta["layers"] = `{"2":{"rope_theta":null}}`
			},
			func(_, b *Attention) { b.Rope, b.RopeFactor = rope(10000, "neox", 1, 0.1, 0.01, 0.001), 2 },
		},
		{
			"rope in one", func(meta map[string]string, _ map[string]array) {
				meta["rope_dims"], meta["layers"] = "8", `{"5":{"rope_theta":10000}}`
			},
			func(_, b *Attention) { b.Rope = rope(10000, "neox", 1, 0.1, 0.01, 0.001) },
		},
		{
			"frequencies", func(meta map[string]string, arrays map[string]array) {
				meta["rope_theta"] = "10000"
				arrays["rope_inv_freq"], arrays["layers.5.rope_inv_freq"] = floats(1, 0.5), floats(4, 3, 2, 1)
			},
			func(a, b *Attention) { a.Rope, b.Rope = rope(10000, "neox", 1, 0.5), rope(10000, "neox", 4, 3, 2, 1) },
		},
		{
			"frequencies of all", func(meta map[string]string, arrays map[string]array) {
				meta["rope_theta"], meta["rope_dims"] = "10000", "4"
				arrays["rope_inv_freq"] = floats(1, 0.5)
			},
			func(a, b *Attention) { a.Rope, b.Rope = rope(10000, "neox", 1, 0.5), rope(10000, "neox", 1, 0.5) },
		},
		{
			"sinks", func(_ map[string]string, arrays map[string]array) {
				arrays["layers.2.sinks"] = floats(1, -0.5, 0, 3)
				arrays["layers.5.sinks"] = array{"F16", []int{6}, make([]byte, 12)}
			},
			func(a, b *Attention) { a.Sinks, b.Sinks = []float64{1, -0.5, 0, 3}, make([]float64, 6) },
		},
		{
			"alibi", func(_ map[string]string, arrays map[string]array) {
				arrays["layers.2.alibi"] = array{"BF16", []int{4}, []byte{0, 0x3f, 0x80, 0x3e, 0, 0x3e, 0x80, 0x3d}}
			},
			func(a, _ *Attention) { a.ALiBi = []float64{0.5, 0.25, 0.125, 0.0625} },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr, err := editUnequal(tt.change)
			if err != nil {
				t.Fatal(err)
			}
			want := plain
			tt.want(&want[0], &want[1])
			if !near(tr.Attention, want[:]) || tr.Unknown != nil {
				t.Errorf("read %+v, %q\nwant %+v", tr.Attention, tr.Unknown, want)
			}
		})
	}
}

// near compares attention, but for the last bits of frequencies, which powers decide.
func near(got, want []Attention) bool {
	for i := range want {
		a, b := got[i], want[i]
		for p, w := range b.Rope.InvFreq {
			if p >= len(a.Rope.InvFreq) || math.Abs(a.Rope.InvFreq[p]-w) > 1e-12 {
				return false
			}
		}
		a.Rope.InvFreq, b.Rope.InvFreq = nil, nil
		if !reflect.DeepEqual(a, b) {
			return false
		}
	}
	return len(got) == len(want)
}

func TestUnequalShapesRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(arrays map[string]array)
		want   string
	}{
		{"tokens", func(a map[string]array) { a["layers.5.k"] = rowsOf("", "F16", 0, 5, 1, 8) }, "tensor layers.5.k: shape [5 1 8], want [6 heads channels]"},
		{"tokens of v", func(a map[string]array) { a["layers.5.v"] = rowsOf("", "F16", 0, 5, 1, 2) }, "tensor layers.5.v: shape [5 1 2], want [6 1 channels]"},
		{"heads of v", func(a map[string]array) { a["layers.2.v"] = rowsOf("", "F16", 0, 6, 1, 4) }, "tensor layers.2.v: shape [6 1 4], want [6 2 channels]"},
		{"queries", func(a map[string]array) { a["layers.5.q"] = rowsOf("", "F16", 0, 3, 6, 8) }, "tensor layers.5.q: shape [3 6 8], want [4 heads channels]"},
		{"heads of q", func(a map[string]array) {
			a["layers.5.k"], a["layers.5.v"] = rowsOf("", "F16", 0, 6, 4, 8), rowsOf("", "F16", 0, 6, 4, 2)
		}, "tensor layers.5.q: shape [4 6 8], want a multiple of the 4 KV heads"},
		{"width of q", func(a map[string]array) { a["layers.5.q"] = rowsOf("", "F16", 0, 4, 6, 4) }, "tensor layers.5.q: shape [4 6 4], want the head_dim of the keys, 8"},
		{"rank", func(a map[string]array) { a["layers.5.v"] = array{"F16", []int{6, 2}, make([]byte, 24)} }, "tensor layers.5.v: shape [6 2], want [rows, heads, head_dim]"},
		{"no channels", func(a map[string]array) { a["layers.5.v"] = array{"F16", []int{6, 1, 0}, nil} }, "tensor layers.5.v: shape [6 1 0], want 1 to 65536 channels"},
		{"no k", func(a map[string]array) { delete(a, "layers.5.k") }, "tensor layers.5.k: missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := editUnequal(func(_ map[string]string, arrays map[string]array) { tt.change(arrays) })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLayersRefused(t *testing.T) {
	for text, want := range map[string]string{
		``:                                       "byte 0: unexpected EOF",
		`null`:                                   "byte 4: null, want an object",
		`[]`:                                     "byte 1: [, want an object",
		`{} {}`:                                  "text after the object",
		`{"2":{}`:                                "unexpected EOF",
		`{"2":{},"2":{}}`:                        "key 2 comes twice",
		`{"2":{"window":2,"window":2}}`:          "layer 2: byte 25: key window comes twice",
		`{"2":null}`:                             "layer 2: byte 9: null, want an object",
		`{"2":[]}`:                               "layer 2: byte 6: [, want an object",
		`{"2":{"window":}}`:                      "layer 2: byte 15: invalid character '}'",
		`{"3":{"window":2}}`:                     "layer 3: not held, want one of 2,5",
		`{"02":{}}`:                              "layer 02: want 0 to 65535 without leading zeros",
		`{"-2":{}}`:                              "layer -2: want 0 to 65535",
		`{"all":{}}`:                             "layer all: want 0 to 65535",
		`{"5":{"window":-1}}`:                    "layer 5: window: -1, want an integer from 1 to 2147483647",
		`{"5":{"window":0}}`:                     "layer 5: window: 0, want an integer from 1 to 2147483647",
		`{"5":{"window":2.5}}`:                   "layer 5: window: 2.5, want an integer",
		`{"5":{"window":2147483648}}`:            "layer 5: window: 2147483648, want an integer",
		`{"5":{"window":"2"}}`:                   "layer 5: window: text 2, want a number",
		`{"5":{"window":[2]}}`:                   "layer 5: window: [2], want a number",
		`{"5":{"chunk":0}}`:                      "layer 5: chunk: 0, want an integer from 1 to 2147483647",
		`{"5":{"chunk":true}}`:                   "layer 5: chunk: true, want a number",
		`{"5":{"softcap":0}}`:                    "layer 5: softcap: 0, want a finite number above 0",
		`{"5":{"softcap":1e999}}`:                "layer 5: softcap: 1e999, want a finite number above 0",
		`{"5":{"scale":-1}}`:                     "layer 5: scale: -1, want a finite number above 0",
		`{"5":{"scale":null}}`:                   "layer 5: scale: null, want a number",
		`{"5":{"rope_theta":0}}`:                 "layer 5: rope_theta: 0, want a finite number above 0",
		`{"5":{"rope_theta":"none"}}`:            "layer 5: rope_theta: text none, want a number",
		`{"5":{"rope_style":"llama"}}`:           "layer 5: rope_style: llama, want neox or gptj",
		`{"5":{"rope_style":1}}`:                 "layer 5: rope_style: 1, want neox or gptj",
		`{"5":{"rope_style":null}}`:              "layer 5: rope_style: null, want neox or gptj",
		`{"5":{"rope_dims":10}}`:                 "layer 5: rope_dims: 10, want an integer from 2 to 8",
		`{"5":{"rope_dims":3,"rope_theta":1e4}}`: "layer 5: rope_dims: 3, want an even number",
		`{"5":{"rope_factor":0}}`:                "layer 5: rope_factor: 0, want a finite number above 0",
		`{"5":{"kv_from":2}}`:                    "layer 5: kv_from: 2: tensor layers.5.k is there, want q alone",
		`{"5":{"state_bytes":64}}`:               "layer 5: state_bytes: its tensors are held, want a layer without any",
		`{"7":{"state_bytes":0}}`:                "layer 7: state_bytes: 0, want an integer from 1 to",
		`{"7":{"state_bytes":8,"window":2}}`:     "layer 7: window beside state_bytes: a layer that keeps a state has no attention",
		`{"5":{"position_offset":2}}`:            "layer 5: position_offset: not a field of a layer, want it beside layers",
		`{"5":{"rope_tetha":1e4}}`:               "layer 5: rope_tetha: not a field of a trace, did you mean rope_theta?",
		`{"5":{"sliding_window":2}}`:             "layer 5: sliding_window: not a field of a trace, want window, of version 2",
	} {
		_, err := editUnequal(func(meta map[string]string, _ map[string]array) { meta["layers"] = text })
		if err == nil || !strings.HasPrefix(err.Error(), "metadata field layers: ") || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "layers: layer ") > 1 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", text, err, want)
		}
	}
}

// Defaults of all layers are refused by their own name.
func TestDefaultsRefused(t *testing.T) {
	for _, tt := range [][3]string{
		{"window", "0", "0, want an integer from 1 to 2147483647"},
		{"window", "null", "null, want an integer"},
		{"chunk", "x", "x, want an integer"},
		{"softcap", "-3", "-3, want a finite number above 0"},
		{"rope_factor", "NaN", "NaN, want a finite number above 0"},
		{"rope_dims", "6", "6, want an integer from 2 to 4"},
		{"kv_from", "2", "of a layer that has no keys and values, want it in metadata field layers"},
		{"state_bytes", "2", "of a layer that has no tensors, want it in metadata field layers"},
	} {
		_, err := editUnequal(func(meta map[string]string, _ map[string]array) {
			meta["rope_theta"], meta[tt[0]] = "10000", tt[1]
		})
		if err == nil || err.Error() != "metadata field "+tt[0]+": "+tt[2] && !strings.HasPrefix(err.Error(), "metadata field "+tt[0]+": "+tt[2]) {
			t.Errorf("%s=%s: %v, want %q", tt[0], tt[1], err, tt[2])
		}
	}
}

// What is said of a rotary embedding has a line where there is none.
func TestUnrotated(t *testing.T) {
	for _, tt := range []struct{ field, value, layers, want string }{
		{"rope_dims", "4", "", "metadata field rope_dims: says nothing without rope_theta, ignored"},
		{"rope_style", "gptj", "", "metadata field rope_style: says nothing without rope_theta, ignored"},
		{"rope_factor", "2", `{"5":{"window":2}}`, "metadata field rope_factor: says nothing without rope_theta, ignored"},
		{"x_", "", `{"5":{"rope_dims":4}}`, "metadata field layers: layer 5: rope_dims: says nothing without rope_theta, ignored"},
		{"rope_theta", "1e4", `{"5":{"rope_theta":null,"rope_style":"gptj"}}`, "metadata field layers: layer 5: rope_style: says nothing without rope_theta, ignored"},
		{"rope_dims", "4", `{"5":{"rope_theta":1e4}}`, ""},
		{"rope_style", "neox", `{"5":{"rope_style":"neox"}}`, ""},
	} {
		tr, err := editUnequal(func(meta map[string]string, _ map[string]array) {
			if meta[tt.field] = tt.value; tt.layers != "" {
				meta["layers"] = tt.layers
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(tr.Unknown, "|"); got != tt.want {
			t.Errorf("%s=%s layers=%s: %s, want %q", tt.field, tt.value, tt.layers, got, tt.want)
		}
	}
}

// A part without rotated layers says nothing of the rotation of the others.
func TestCutUnrotated(t *testing.T) {
	tr, err := editUnequal(func(meta map[string]string, arrays map[string]array) {
		meta["rope_theta"], meta["rope_dims"], meta["layers"] = "1e4", "4", `{"2":{"rope_theta":null}}`
		arrays["rope_inv_freq"] = floats(1, 0.5)
	})
	if err != nil {
		t.Fatal(err)
	}
	part, notes, err := tr.Cut(Cut{Last: tr.Tokens - 1, Layers: []int{2}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"tensor rope_inv_freq: left out, since no layer kept has a rotary embedding",
		"metadata field rope_dims: left out, since no layer kept has a rotary embedding",
	}
	if !slices.Equal(notes, want) || part.HasRope() {
		t.Errorf("left out %q, want %q", notes, want)
	}
}

func TestAttentionTensorsRefused(t *testing.T) {
	tests := []struct {
		tensor string
		data   array
		want   string
	}{
		{"layers.2.sinks", floats(1, 2), "shape [2], want [4] (one for each query head)"},
		{"layers.5.sinks", floats(1, 2, 3, 4), "shape [4], want [6]"},
		{"layers.2.sinks", array{"F16", []int{2, 2}, make([]byte, 8)}, "shape [2 2], want [4]"},
		{"layers.2.sinks", array{"I32", []int{4}, make([]byte, 16)}, "dtype I32, want F32, F16 or BF16"},
		{"layers.2.sinks", floats(1, 2, 3, float32(math.NaN())), "element 3: NaN, want a finite number"},
		{"layers.2.sinks", floats(float32(math.Inf(-1)), 2, 3, 0), "element 0: -Inf, want a finite number"},
		{"layers.3.sinks", floats(1, 2, 3, 4), "layer 3: not held, want one of 2,5"},
		{"layers.02.sinks", floats(1, 2, 3, 4), "layer 02: want 0 to 65535 without leading zeros"},
		{"layers.2.alibi", floats(1), "shape [1], want [4]"},
		{"layers.2.alibi", floats(1, 2, 3, float32(math.Inf(1))), "element 3: +Inf, want a finite number"},
		{"layers.2.rope_inv_freq", floats(1), "shape [1], want [2] (half of rope_dims)"},
		{"layers.2.rope_inv_freq", array{"F16", []int{2}, make([]byte, 4)}, "dtype F16, want F32"},
		{"layers.2.rope_inv_freq", floats(1, -1), "pair 1: -1, want no negative frequency"},
		{"layers.5.rope_inv_freq", floats(1, 1, 1, 1), "no rope_theta in layer 5, want it beside"},
		{"layers.5.c", floats(1), "beside layers.5.k, want k and v of a layer, or c, k_rope, w_uk and w_uv"},
		{"layers.5.k_rope", floats(1), "beside layers.5.k, want k and v of a layer, or c, k_rope, w_uk and w_uv"},
		{"layers.5.w_uk", floats(1), "beside layers.5.k, want k and v of a layer, or c, k_rope, w_uk and w_uv"},
	}
	for _, tt := range tests {
		_, err := editUnequal(func(meta map[string]string, arrays map[string]array) {
			meta["rope_theta"], meta["layers"], arrays[tt.tensor] = "10000", `{"5":{"rope_theta":null}}`, tt.data
		})
		if err == nil || !strings.HasPrefix(err.Error(), "tensor "+tt.tensor+": ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.tensor, err, tt.want)
		}
	}
}

// Whatever layers says, it is refused in one line or means what it means once it has been written and read again.
func FuzzLayers(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"2":{"window":3,"chunk":4},"5":{"softcap":30.5,"scale":1e-3}}`,
		`{"5":{"rope_theta":1e6,"rope_style":"gptj","rope_dims":4,"rope_factor":1.5}}`,
		`{"2":{"rope_theta":null,"window":null},"5":{"x_a":[{"b":null}]}}`, `{"2":{"kv_from":1}}`, `[[[[`, `{"2":{"window":`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tr, err := editUnequal(func(meta map[string]string, _ map[string]array) {
			meta["window"], meta["rope_theta"], meta["layers"] = "2", "10000", text
		})
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: %v, want one line", text, err)
			}
			return
		}
		written, err := tr.metadata()
		if err != nil {
			t.Fatal(err)
		}
		again, err := editUnequal(func(meta map[string]string, _ map[string]array) { maps.Copy(meta, written) })
		if err != nil || !reflect.DeepEqual(again.Attention, tr.Attention) {
			t.Errorf("%q is written as %q: %v", text, written["layers"], err)
		}
	})
}

// Layers without keys have their bytes, beside layers that are held, and are written again.
func TestStates(t *testing.T) {
	tr, err := editUnequal(func(meta map[string]string, _ map[string]array) {
		meta["layers"] = `{"9":{"state_bytes":64},"3":{"state_bytes":1024}}`
	})
	want := []State{{3, 1024}, {9, 64}}
	if err != nil || !slices.Equal(tr.States, want) || tr.NumLayers != 10 || tr.StateBytes() != 1088 {
		t.Fatalf("%v, %+v of %d layers", err, tr, tr.NumLayers)
	}
	path := filepath.Join(t.TempDir(), "states.safetensors")
	if err := Write(t.Context(), path, tr, "F32", nil); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if !slices.Equal(again.States, want) || again.NumLayers != 10 {
		t.Errorf("written: %+v of %d layers, want %+v", again.States, again.NumLayers, want)
	}
}
