package trace

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"
)

// edit makes a trace from the parts of the small one.
func edit(change func(meta map[string]string, arrays map[string]array)) (*Trace, error) {
	meta, arrays := small("F16")
	change(meta, arrays)
	return fromBytes(safetensorsOf(meta, arrays))
}

func TestTensorsRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(arrays map[string]array)
		want   string
	}{
		{"no layer", func(a map[string]array) { clear(a) }, "no tensors layers.N.q, layers.N.k and layers.N.v"},
		{"no q", func(a map[string]array) { delete(a, "layers.5.q") }, "tensor layers.5.q: missing, want q, k and v of each layer"},
		{"no k", func(a map[string]array) { delete(a, "layers.2.k") }, "tensor layers.2.k: missing"},
		{"no v", func(a map[string]array) { delete(a, "layers.5.v") }, "tensor layers.5.v: missing"},
		{"leading zero", func(a map[string]array) { a["layers.02.q"] = a["layers.2.q"] }, "tensor layers.02.q: layer number 02, want 0 to 65535 without leading zeros"},
		{"layer too high", func(a map[string]array) { a["layers.65536.q"] = a["layers.2.q"] }, "layer number 65536, want 0 to 65535"},
		{"layer beyond int", func(a map[string]array) { a["layers.18446744073709551618.q"] = a["layers.2.q"] }, "layer number 18446744073709551618"},
		{"dtype", func(a map[string]array) { a["layers.5.k"] = array{"I32", []int{6, 2, 4}, make([]byte, 192)} }, "tensor layers.5.k: dtype I32, want F32, F16 or BF16"},
		{"unknown dtype", func(a map[string]array) { a["layers.5.k"] = array{"Q4_0", []int{6, 2, 4}, make([]byte, 27)} }, "tensor layers.5.k: dtype Q4_0, want F32, F16 or BF16"},
		{"rank", func(a map[string]array) { a["layers.2.k"] = array{"F16", []int{6, 8}, make([]byte, 96)} }, "tensor layers.2.k: shape [6 8], want [rows, heads, head_dim]"},
		{"no rows", func(a map[string]array) { a["layers.2.k"] = array{"F16", []int{0, 2, 4}, nil} }, "tensor layers.2.k: shape [0 2 4], want 1 to 2147483647 rows"},
		{"no heads", func(a map[string]array) { a["layers.2.k"] = array{"F16", []int{6, 0, 4}, nil} }, "want 1 to 4096 heads"},
		{"no channels", func(a map[string]array) { a["layers.2.k"] = array{"F16", []int{6, 2, 0}, nil} }, "want 1 to 65536 channels"},
		{"v unlike k", func(a map[string]array) { a["layers.2.v"] = rowsOf("", "F16", 0, 6, 2, 2) }, "tensor layers.2.v: shape [6 2 2], want [6 2 4]"},
		{"layer unlike layer", func(a map[string]array) { a["layers.5.k"] = rowsOf("", "F16", 0, 5, 2, 4) }, "tensor layers.5.k: shape [5 2 4], want [6 2 4]"},
		{"q unlike q", func(a map[string]array) { a["layers.5.q"] = rowsOf("", "F16", 0, 3, 4, 4) }, "tensor layers.5.q: shape [3 4 4], want [4 4 4]"},
		{"more queries than tokens", func(a map[string]array) { a["layers.2.q"] = rowsOf("", "F16", 0, 7, 4, 4) }, "tensor layers.2.q: shape [7 4 4], want at most the 6 rows of the keys"},
		{"heads no multiple", func(a map[string]array) { a["layers.2.q"] = rowsOf("", "F16", 0, 4, 3, 4) }, "tensor layers.2.q: shape [4 3 4], want a multiple of the 2 KV heads"},
		{"fewer heads than KV heads", func(a map[string]array) { a["layers.2.q"] = rowsOf("", "F16", 0, 4, 1, 4) }, "want a multiple of the 2 KV heads"},
		{"head_dim of q", func(a map[string]array) { a["layers.2.q"] = rowsOf("", "F16", 0, 4, 4, 8) }, "tensor layers.2.q: shape [4 4 8], want the head_dim of the keys, 4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := edit(func(_ map[string]string, arrays map[string]array) { tt.change(arrays) })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func floats(values ...float32) array {
	a := array{dtype: "F32", shape: []int{len(values)}}
	for _, v := range values {
		a.data = binary.LittleEndian.AppendUint32(a.data, math.Float32bits(v))
	}
	return a
}

func TestMetadata(t *testing.T) {
	tr, err := edit(func(meta map[string]string, arrays map[string]array) {
		meta["num_layers"], meta["scale"], meta["position_offset"] = "32", "0.25", "100"
		meta["rope_theta"], meta["rope_style"], meta["rope_dims"] = "1e6", "gptj", "2"
		meta["needles"] = ` [{"layer":5,"kv_head":1,"key":0,"query":5},{"query":2,"key":1,"kv_head":0,"layer":2}] `
		meta["repeat_span"] = "2..4"
		meta["seed"] = "anything else"
		arrays["rope_inv_freq"] = floats(0.75)
	})
	if err != nil {
		t.Fatal(err)
	}
	if tr.Repeat != (Span{2, 4}) {
		t.Errorf("second pass %v", tr.Repeat)
	}
	if tr.Model != "m" || tr.Source != "a test" || tr.NumLayers != 32 || tr.Attention[0].Scale != 0.25 || tr.PositionOffset != 100 {
		t.Errorf("read %+v", tr)
	}
	if r := tr.Attention[0].Rope; r.Theta != 1e6 || r.Style != "gptj" || r.Dims != 2 || !slices.Equal(r.InvFreq, []float64{0.75}) {
		t.Errorf("rope %+v", r)
	}
	if want := []Needle{{5, 1, 0, 5}, {2, 0, 1, 2}}; !slices.Equal(tr.Needles, want) {
		t.Errorf("needles %v, want %v", tr.Needles, want)
	}
}

// What a trace does not say.
func TestMetadataDefaults(t *testing.T) {
	tr, err := edit(func(meta map[string]string, _ map[string]array) {
		delete(meta, "source")
		meta["rope_style"] = "neox" // says nothing without rope_theta
	})
	if err != nil {
		t.Fatal(err)
	}
	if tr.NumLayers != 6 || tr.Attention[0].Scale != 0.5 || tr.PositionOffset != 0 || tr.Attention[0].Rope.Dims != 0 || tr.Attention[0].Rope.Style != "" || tr.Needles != nil {
		t.Errorf("read %+v", tr)
	}
	tr, err = edit(func(meta map[string]string, _ map[string]array) { meta["rope_theta"] = "10000" })
	if err != nil {
		t.Fatal(err)
	}
	if r := tr.Attention[0].Rope; r.Style != "neox" || r.Dims != 4 || !slices.Equal(r.InvFreq, []float64{1, 0.01}) {
		t.Errorf("rope %+v", r)
	}
}

func TestMetadataRefused(t *testing.T) {
	absent := "\x00"
	tests := []struct{ field, value, want string }{
		{"format", absent, "missing, want kvgauge-trace"},
		{"format", "kvgauge-external", "kvgauge-external, want kvgauge-trace"},
		{"version", absent, "missing, want 1 or 2"},
		{"version", "3", "3, want 1 or 2"},
		{"version", "02", "02, want 1 or 2"},
		{"model", absent, "missing, want the model's name"},
		{"model", "", "missing, want the model's name"},
		{"num_layers", "5", "5, want an integer from 6 to 65536"},
		{"num_layers", "six", "six, want an integer"},
		{"num_layers", "99999999999", "want an integer from 6 to 65536"},
		{"scale", "0", "0, want a finite number above 0"},
		{"scale", "-1", "-1, want a finite number above 0"},
		{"scale", "NaN", "NaN, want a finite number above 0"},
		{"scale", "+Inf", "+Inf, want a finite number above 0"},
		{"scale", "1e999", "1e999, want a finite number above 0"},
		{"scale", "", `"", want a finite number above 0`},
		{"rope_theta", "0", "0, want a finite number above 0"},
		{"rope_theta", "none", "none, want a finite number above 0"},
		{"rope_style", "llama", "llama, want neox or gptj"},
		{"rope_dims", "3", "3, want an even number"},
		{"rope_dims", "0", "0, want an integer from 2 to 4"},
		{"rope_dims", "6", "6, want an integer from 2 to 4"},
		{"position_offset", "-1", "-1, want an integer from 0 to 2147483647"},
		{"position_offset", "1.5", "1.5, want an integer"},
		{"repeat_span", "0..3", "0..3, want tokens first..last from 1 to 5"},
		{"needles", "{}", "byte 1: object, want an array: want a JSON array of needles"},
		{"needles", "[", "it ends too early: want a JSON array of needles"},
		{"needles", "", "it ends too early: want a JSON array of needles"},
		{"needles", "null", "null, want a JSON array of needles"},
		{"needles", "[] []", "text after the array"},
		{"needles", `[{"layer":2,"kv_head":0,"key":1}]`, "needle 0: want layer, kv_head, key and query"},
		{"needles", `[null]`, "needle 0: want layer, kv_head, key and query"},
		{"needles", `[{"layer":2,"kv_head":0,"key":1,"query":2,"head":1}]`, "unknown field"},
		{"needles", `[{"layer":2,"kv_head":0,"key":1,"query":2},{"layer":3,"kv_head":0,"key":1,"query":2}]`, "needle 1: layer 3, want one of those held: 2,5"},
		{"needles", `[{"layer":2,"kv_head":2,"key":1,"query":2}]`, "needle 0: kv_head 2, want 0 to 1"},
		{"needles", `[{"layer":2,"kv_head":-1,"key":1,"query":2}]`, "needle 0: kv_head -1, want 0 to 1"},
		{"needles", `[{"layer":2,"kv_head":0,"key":-1,"query":2}]`, "needle 0: key -1 and query 2, want positions from 0 to 5, the key first"},
		{"needles", `[{"layer":2,"kv_head":0,"key":1,"query":6}]`, "query 6, want positions from 0 to 5"},
		{"needles", `[{"layer":2,"kv_head":0,"key":2,"query":2}]`, "the key first"},
		{"needles", `[{"layer":2,"kv_head":0,"key":1,"query":2,"query":3}]`, "key query comes twice"},
		{"needles", `[{"layer":2,"kv_head":0,"key":1,"Query":2}]`, "key Query, want layer, kv_head, key and query"},
	}
	for _, tt := range tests {
		_, err := edit(func(meta map[string]string, _ map[string]array) {
			meta["rope_theta"] = "10000"
			if meta[tt.field] = tt.value; tt.value == absent {
				delete(meta, tt.field)
			}
		})
		if err == nil || !strings.Contains(err.Error(), "metadata field "+tt.field) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s=%q: %v, want %q", tt.field, tt.value, err, tt.want)
		}
	}
}

func TestInvFreqRefused(t *testing.T) {
	half := array{"F16", []int{2}, make([]byte, 4)}
	tests := []struct {
		name  string
		theta string
		freq  array
		want  string
	}{
		{"without theta", "", floats(1, 0.5), "no metadata field rope_theta"},
		{"dtype", "10000", half, "dtype F16, want F32"},
		{"length", "10000", floats(1), "shape [1], want [2] (half of rope_dims)"},
		{"negative", "10000", floats(1, -0.5), "pair 1: -0.5, want no negative frequency"},
		{"infinite", "10000", floats(1, float32(math.Inf(1))), "element 1: +Inf, want a finite number"},
	}
	for _, tt := range tests {
		_, err := edit(func(meta map[string]string, arrays map[string]array) {
			arrays["rope_inv_freq"] = tt.freq
			if tt.theta != "" {
				meta["rope_theta"] = tt.theta
			}
		})
		if err == nil || !strings.HasPrefix(err.Error(), "tensor rope_inv_freq: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
