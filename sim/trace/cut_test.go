package trace

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// whole are the parts of a trace of version 2 that has everything: layer 2 with a window, outputs and sinks, layer 5 with
// latents, layer 7 with chunks, which layer 8 reads, a state in layer 9, and what is carried along.
func whole() (map[string]string, map[string]array) {
	meta, arrays := latents("F32")
	add := func(name string, first, rows, heads, dim int) {
		arrays[name] = rowsOf(name, "F32", first, rows, heads, dim)
	}
	add("layers.2.o", 2, 4, 4, 8)
	add("layers.5.o", 2, 4, 3, 6)
	for _, kind := range []string{"k", "v"} {
		add("layers.7."+kind, 0, 6, 2, 4)
	}
	add("layers.7.q", 2, 4, 4, 4)
	add("layers.8.q", 2, 4, 4, 4)
	add("layers.8.o", 2, 4, 4, 4)
	arrays["layers.2.sinks"] = floats(1, 2, 3, 4)
	arrays["layers.7.alibi"] = floats(0.5, 0.25, 0.125, 0.0625)
	arrays["layers.7.rope_inv_freq"] = floats(1, 0.25)
	arrays["token_ids"] = array{"I32", []int{6}, []byte("aaaabbbbccccddddeeeeffff")}
	arrays["mask"] = array{"BOOL", []int{6}, make([]byte, 6)}
	meta["layers"] = `{"2":{"window":2},"7":{"chunk":3,"rope_theta":100},"8":{"chunk":3,"kv_from":7},"9":{"state_bytes":64}}`
	meta["needles"] = `[{"layer":2,"kv_head":1,"key":3,"query":5},{"layer":7,"kv_head":0,"key":0,"query":4}]`
	meta["position_offset"], meta["repeat_span"], meta["x_mine"] = "10", "2..4", "kept"
	return meta, arrays
}

// parted cuts that trace, and fails where the part is not one.
func parted(t *testing.T, cut Cut) (*Trace, []string) {
	t.Helper()
	tr, err := fromBytes(safetensorsOf(whole()))
	if err != nil {
		t.Fatal(err)
	}
	part, notes, err := tr.Cut(cut)
	if err != nil {
		t.Fatal(err)
	}
	return part, notes
}

// checkPart compares every number by token or head of a part with the digits of the token and head that it was.
func checkPart(t *testing.T, part *Trace, first int, kvHeads []int) {
	t.Helper()
	c := part.src.(*container)
	for name, x := range c.tensors {
		_, kind, _ := tensorOf(name)
		from, heads := first, kvHeads
		switch kind {
		case "q", "o":
			from, heads = max(first, 2), nil
			for _, h := range kvHeads {
				heads = append(heads, 2*h, 2*h+1)
			}
			if strings.HasPrefix(name, "layers.5.") {
				heads = nil
			}
		case "k", "v":
		case "c", "k_rope":
			heads = nil
		default:
			continue
		}
		if len(x.shape) == 2 {
			x.shape = []int{x.shape[0], 1, x.shape[1]}
		}
		b, err := x.read()
		if err != nil {
			t.Fatal(err)
		}
		values := make([]float32, len(b)/4)
		toFloat32(values, b, "F32")
		for i, got := range values {
			at := indexOf(i, x.shape)
			head := at[1]
			if heads != nil {
				head = heads[at[1]]
			}
			if want := digit(name, from+at[0], head, at[2]); got != want {
				t.Fatalf("%s %v: %v, want that of token %d, head %d: %v", name, at, got, from+at[0], head, want)
			}
		}
	}
}

// Tokens, layers and heads are those that were asked for, and all that the metadata say is of them.
func TestCut(t *testing.T) {
	t.Run("all", func(t *testing.T) {
		part, notes := parted(t, Cut{Last: 5})
		if part.Tokens != 6 || len(part.Layers) != 4 || len(part.Needles) != 2 || part.Repeat != (Span{2, 4}) || notes != nil {
			t.Errorf("%+v, %q", part.Header, notes)
		}
		checkPart(t, part, 0, []int{0, 1})
	})
	t.Run("prefix", func(t *testing.T) {
		part, notes := parted(t, Cut{Last: 3})
		if part.Tokens != 4 || part.Queries != 2 || part.PositionOffset != 10 || part.Repeat != (Span{2, 3}) || part.Needles != nil {
			t.Errorf("%+v", part.Header)
		}
		if !part.At(2).Outputs || !part.At(5).Outputs || !part.At(8).Outputs {
			t.Error("outputs of a prefix are left out")
		}
		want := []string{"tensor mask: carried along as it is, of all tokens", "metadata field needles: 2 of 2 left out, since their layer, head, key or query is"}
		if !reflect.DeepEqual(notes, want) {
			t.Errorf("notes %q, want %q", notes, want)
		}
		checkPart(t, part, 0, []int{0, 1})
	})
	t.Run("suffix", func(t *testing.T) {
		part, notes := parted(t, Cut{First: 3, Last: 5})
		if part.Tokens != 3 || part.Queries != 3 || part.PositionOffset != 13 || part.Repeat != (Span{}) {
			t.Errorf("%+v", part.Header)
		}
		if want := []Needle{{Layer: 2, KVHead: 1, Key: 0, Query: 2}}; !reflect.DeepEqual(part.Needles, want) {
			t.Errorf("needles %v, want %v", part.Needles, want)
		}
		if part.At(2).Outputs || part.At(5).Outputs || !part.At(8).Outputs {
			t.Error("outputs, want those of the layer with chunks alone")
		}
		if want := "tensors layers.N.o of layers 2,5: left out, since queries read keys before token 3"; !strings.Contains(strings.Join(notes, "\n"), want) {
			t.Errorf("notes %q, want %q", notes, want)
		}
		ids, _ := part.src.(*container).tensors["token_ids"].read()
		if string(ids) != "ddddeeeeffff" {
			t.Errorf("token ids %q", ids)
		}
		checkPart(t, part, 3, []int{0, 1})
	})
	t.Run("layers", func(t *testing.T) {
		part, _ := parted(t, Cut{Last: 5, Layers: []int{7, 8}})
		if fmt.Sprint(part.Layers, part.NumLayers, part.States) != "[7 8] 10 [{9 64}]" || part.At(8).KVFrom != 7 || part.At(7).ALiBi[3] != 0.0625 {
			t.Errorf("%+v", part.Header)
		}
		for name := range part.src.(*container).tensors {
			if strings.HasPrefix(name, "layers.2.") || strings.HasPrefix(name, "layers.5.") {
				t.Errorf("%s is still there", name)
			}
		}
		checkPart(t, part, 0, []int{0, 1})
	})
	t.Run("heads", func(t *testing.T) {
		part, notes := parted(t, Cut{Last: 5, Layers: []int{2, 7, 8}, Heads: []int{1}})
		for _, layer := range part.Layers {
			if a := part.At(layer); a.KVHeads != 1 || a.QHeads != 2 {
				t.Errorf("layer %d: %+v", layer, a)
			}
		}
		if got := part.At(2).Sinks; !reflect.DeepEqual(got, []float64{3, 4}) {
			t.Errorf("sinks %v", got)
		}
		if got := part.At(7).ALiBi; !reflect.DeepEqual(got, []float64{0.125, 0.0625}) {
			t.Errorf("slopes %v", got)
		}
		if want := []Needle{{Layer: 2, KVHead: 0, Key: 3, Query: 5}}; !reflect.DeepEqual(part.Needles, want) || len(notes) != 1 {
			t.Errorf("needles %v, %q", part.Needles, notes)
		}
		checkPart(t, part, 0, []int{1})
	})
	t.Run("latent heads", func(t *testing.T) {
		part, _ := parted(t, Cut{Last: 5, Layers: []int{5}, Heads: []int{0}})
		if a := part.At(5); a.QHeads != 3 || !a.Outputs {
			t.Errorf("%+v", a)
		}
	})
}

// A window that is no longer than what lies between the first token and the first query leaves the outputs as they are.
func TestCutKeepsProvedOutputs(t *testing.T) {
	part, _ := parted(t, Cut{First: 0, Last: 5, Layers: []int{2}})
	sub, notes, err := part.Cut(Cut{First: 1, Last: 5}) // the first query is token 2, whose window of 2 begins at token 1
	if err != nil || !sub.At(2).Outputs || strings.Contains(strings.Join(notes, "\n"), "layers.N.o") {
		t.Errorf("%v, %q, %+v", err, notes, sub)
	}
}

func TestCutRefused(t *testing.T) {
	for _, tt := range []struct {
		cut  Cut
		want string
	}{
		{Cut{First: 0, Last: 6}, "tokens 0..6: want first..last within 0..5"},
		{Cut{First: 4, Last: 3}, "tokens 4..3: want first..last within 0..5"},
		{Cut{First: 0, Last: 1}, "tokens 0..1: the trace holds no query of these, want some of 2..5"},
		{Cut{First: 2, Last: 5}, "tokens 2..5: layer 7 attends within chunks of 3 tokens, want a first token that begins one"},
		{Cut{Last: 5, Layers: []int{3}}, "layers 3: not held, want some of 2,5,7..8"},
		{Cut{Last: 5, Layers: []int{2, 8}}, "layers 8: it reads the keys and values of layer 7, want that kept too"},
		{Cut{Last: 5, Heads: []int{1}}, "heads 1: layer 5 has the KV heads 0..0"},
	} {
		tr, err := fromBytes(safetensorsOf(whole()))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := tr.Cut(tt.cut); err == nil || !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %s", tt.cut, err, tt.want)
		}
	}
	synth := open(t, "synth", Options{})
	if _, _, err := synth.Cut(Cut{}); err == nil || !strings.Contains(err.Error(), "want a file") {
		t.Errorf("a synthetic trace: %v", err)
	}
}

// Rows that lie heads first are read as others, and what has other axes is refused.
func TestHeadsFirst(t *testing.T) {
	meta, arrays := small("F16")
	want, err := fromBytes(safetensorsOf(meta, arrays))
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range arrays {
		x := tensorOfBytes(a.data, a.shape, a.dtype, false).turned()
		b, err := x.read()
		if err != nil {
			t.Fatal(err)
		}
		shape := x.shape
		if strings.HasSuffix(name, "q") {
			shape = append([]int{1}, shape...)
		}
		arrays[name] = array{a.dtype, shape, b}
	}
	c, err := openSafetensors(bytes.NewReader(safetensorsOf(meta, arrays)), int64(len(safetensorsOf(meta, arrays))), func() error { return nil })
	if err == nil {
		err = c.turn()
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := newTrace(c)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Attention, want.Attention) || got.Tokens != 6 || got.Queries != 4 {
		t.Errorf("%+v, want %+v", got.Header, want.Header)
	}
	for _, layer := range got.Layers {
		checkDigits(t, got, layer)
	}
	c.tensors["layers.2.k"] = tensorOfBytes(make([]byte, 8), []int{4}, "F16", false)
	if err := c.turn(); err == nil || !strings.Contains(err.Error(), "layers.2.k: shape [4], want [heads, tokens, channels]") {
		t.Errorf("one axis: %v", err)
	}
}
