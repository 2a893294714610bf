package trace

import (
	"context"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// latentMeta and latents are a trace of layer 2 with keys and values and of layer 5 with latents of 5 channels beside 2
// shared ones; its 3 query heads have 4 channels, and values 6.
func latents(dtype string) (map[string]string, map[string]array) {
	meta, arrays := unequal(dtype)
	delete(arrays, "layers.5.k")
	delete(arrays, "layers.5.v")
	add := func(kind string, first int, shape ...int) {
		name := "layers.5." + kind
		x := rowsOf(name, dtype, first, shape[0], shape[1], shape[2])
		if x.shape = shape; shape[1] == 1 {
			x.shape = []int{shape[0], shape[2]}
		}
		arrays[name] = x
	}
	add("q", 2, 4, 3, 4)
	add("c", 0, 6, 1, 5)
	add("k_rope", 0, 6, 1, 2)
	add("w_uk", 0, 3, 2, 5)
	add("w_uv", 0, 3, 6, 5)
	return meta, arrays
}

// editLatents makes a trace of a change to them.
func editLatents(change func(meta map[string]string, arrays map[string]array)) (*Trace, error) {
	meta, arrays := latents("F16")
	change(meta, arrays)
	return fromBytes(safetensorsOf(meta, arrays))
}

// A latent layer's rows are its latent and shared key beside each other, and its weights are those of the file, to the bit.
func TestLatentLayers(t *testing.T) {
	for dtype := range rowBytes {
		meta, arrays := latents(dtype)
		meta["rope_theta"] = "10000"
		tr, err := fromBytes(safetensorsOf(meta, arrays))
		if err != nil {
			t.Fatal(err)
		}
		a := tr.At(5)
		if a.QHeads != 3 || a.KVHeads != 1 || a.QKDim != 4 || a.VDim != 6 || a.Rank != 5 || a.SharedDim != 2 || a.Nope() != 2 {
			t.Errorf("%+v", a)
		}
		if a.KeyDim() != 7 || a.ValueDim() != 5 || a.RowNumbers() != 7 || a.Scale != 0.5 {
			t.Errorf("keys of %d, values of %d, %d numbers, scale %g", a.KeyDim(), a.ValueDim(), a.RowNumbers(), a.Scale)
		}
		if i, j := a.KernelRope().Pair(0); a.Rope.Dims != 2 || i != 5 || j != 6 {
			t.Errorf("%d rotated dimensions, a pair of %d and %d", a.Rope.Dims, i, j)
		}
		l, err := tr.Read(5, 6, 0)
		if err != nil {
			t.Fatal(err)
		}
		decoded := func(kind string) []float32 {
			x := arrays["layers.5."+kind]
			out := make([]float32, len(x.data)/rowBytes[dtype])
			toFloat32(out, x.data, dtype)
			return out
		}
		c, shared := decoded("c"), decoded("k_rope")
		for i := range 6 {
			row := append(append([]float32(nil), c[5*i:5*i+5]...), shared[2*i:2*i+2]...)
			if !reflect.DeepEqual(l.K[0][7*i:7*i+7], row) || !reflect.DeepEqual(l.V[0][5*i:5*i+5], row[:5]) {
				t.Errorf("row %d: %v, %v", i, l.K[0], l.V[0])
			}
		}
		uk, uv := decoded("w_uk"), decoded("w_uv")
		for h := range 3 {
			if got := numbers(l.Up.K[h], true); !reflect.DeepEqual(got, uk[10*h:10*h+10]) {
				t.Errorf("w_uk of head %d: %v", h, got)
			}
			if got := numbers(l.Up.V[h], false); !reflect.DeepEqual(got, uv[30*h:30*h+30]) {
				t.Errorf("w_uv of head %d: %v", h, got)
			}
			if l.Up.K[h].Format != formatOf[dtype] {
				t.Errorf("weights of %s are held in %s", dtype, l.Up.K[h].Format)
			}
		}
		if l, err = tr.Read(5, 2, 2); err != nil || l.Up != nil {
			t.Errorf("without queries: weights %v, %v", l.Up, err)
		}
		if l, err = tr.Read(5, 6, 0); err != nil || len(l.Prefix(4, a).K[0]) != 28 || l.Prefix(4, a).Up == nil {
			t.Errorf("prefix of %d numbers, %v", len(l.Prefix(4, a).K[0]), err)
		}
	}
}

// What is written is read again, the same.
func TestWriteLatents(t *testing.T) {
	meta, arrays := latents("BF16")
	meta["rope_theta"], meta["layers"] = "10000", `{"5":{"scale":0.125,"rope_style":"gptj"}}`
	tr, err := fromBytes(safetensorsOf(meta, arrays))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "latents.safetensors")
	if err := Write(context.Background(), path, tr, "BF16", nil); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	if !reflect.DeepEqual(again.Attention, tr.Attention) {
		t.Errorf("%+v, want %+v", again.Attention, tr.Attention)
	}
	a, errA := tr.Read(5, 6, 0)
	b, errB := again.Read(5, 6, 0)
	if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("%+v, want %+v; %v, %v", b, a, errA, errB)
	}
}

func TestLatentsRefused(t *testing.T) {
	f16 := func(shape ...int) array {
		n := 2
		for _, d := range shape {
			n *= d
		}
		return array{"F16", shape, make([]byte, n)}
	}
	infinite := f16(3, 2, 5)
	infinite.data[2*17+1] = 0x7c
	for _, tt := range []struct {
		tensor string
		is     array
		want   string
	}{
		{"c", array{}, "tensor layers.5.c: missing, want q, c, k_rope, w_uk and w_uv of a latent layer"},
		{"w_uv", array{}, "tensor layers.5.w_uv: missing"},
		{"q", array{}, "tensor layers.5.q: missing"},
		{"k", f16(6, 1, 4), "tensor layers.5.c: beside layers.5.k, want k and v of a layer, or c, k_rope, w_uk and w_uv"},
		{"c", f16(6, 1, 5), "tensor layers.5.c: shape [6 1 5], want [rows, rank]"},
		{"c", f16(5, 5), "tensor layers.5.c: shape [5 5], want [6 rank]"},
		{"k_rope", f16(6, 70000), "tensor layers.5.k_rope: shape [6 70000], want 1 to 65536 rope"},
		{"w_uk", f16(3, 2, 4), "tensor layers.5.w_uk: shape [3 2 4], want [heads nope 5]"},
		{"w_uv", f16(2, 6, 5), "tensor layers.5.w_uv: shape [2 6 5], want [3 v_dim 5]"},
		{"q", f16(4, 3, 5), "tensor layers.5.q: shape [4 3 5], want [4 3 4]"},
		{"q", f16(4, 4, 4), "tensor layers.5.q: shape [4 4 4], want [4 3 4]"},
		{"w_uk", array{"I32", []int{3, 2, 5}, make([]byte, 120)}, "tensor layers.5.w_uk: dtype I32, want F32, F16 or BF16"},
		{"w_uk", infinite, "tensor layers.5.w_uk: head 1: row 1: column 2: +Inf, want a finite number"},
	} {
		tr, err := editLatents(func(_ map[string]string, arrays map[string]array) {
			if arrays["layers.5."+tt.tensor] = tt.is; tt.is.shape == nil {
				delete(arrays, "layers.5."+tt.tensor)
			}
		})
		if err == nil {
			_, err = tr.Read(5, 6, 0)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.tensor, err, tt.want)
		}
	}
	_, err := editLatents(func(meta map[string]string, arrays map[string]array) {
		meta["layers"], arrays["layers.6.q"] = `{"6":{"kv_from":5}}`, arrays["layers.5.q"]
	})
	if want := "metadata field layers: layer 6: kv_from: 5: a latent layer, want one with keys and values"; err == nil || err.Error() != want {
		t.Errorf("borrowed: %v, want %q", err, want)
	}
	_, err = editLatents(func(meta map[string]string, _ map[string]array) {
		meta["rope_theta"], meta["rope_dims"] = "10000", "4"
	})
	if want := "want an integer from 2 to 2"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("rope_dims beyond the shared key: %v, want %q", err, want)
	}
}

// A synthetic trace with latents is the same by every prefix, and goes through a file.
func TestSynthLatents(t *testing.T) {
	const spec = "synth:latent=48,q_heads=4,head_dim=32,v_dim=24,latent_rope=16,layers=2,tokens=300,full_every=2,window=64"
	tr, err := Open(spec, Options{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	a := tr.At(1)
	if a.QKDim != 48 || a.VDim != 24 || a.Rank != 48 || a.SharedDim != 16 || a.Rope.Dims != 16 || a.KVHeads != 1 {
		t.Errorf("%+v", a)
	}
	whole, err := tr.Read(1, 300, 0)
	if err != nil {
		t.Fatal(err)
	}
	part, err := tr.Read(1, 200, 150)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(part.K[0], whole.K[0][:200*64]) || !reflect.DeepEqual(part.V[0], whole.V[0][:200*48]) ||
		!reflect.DeepEqual(part.Q[3], whole.Q[3][150*48:200*48]) || !reflect.DeepEqual(part.Up, whole.Up) {
		t.Error("a prefix has other rows")
	}
	path := filepath.Join(t.TempDir(), "synth.safetensors")
	if err := Write(context.Background(), path, tr, "F32", nil); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	l, err := again.Read(1, 300, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.Attention, tr.Attention) || !reflect.DeepEqual(l.K, whole.K) || !reflect.DeepEqual(l.Q, whole.Q) {
		t.Errorf("the file has other rows, or %+v", again.Attention)
	}
	for h := range l.Up.K {
		if !reflect.DeepEqual(numbers(l.Up.K[h], true), numbers(whole.Up.K[h], true)) || !reflect.DeepEqual(numbers(l.Up.V[h], false), numbers(whole.Up.V[h], false)) {
			t.Errorf("the file has other weights of head %d", h)
		}
	}
}

func TestSynthLatentsRefused(t *testing.T) {
	for spec, want := range map[string]string{
		"synth:latent=20":               "latent=20: want a multiple of 8",
		"synth:latent=8":                "latent=8: want 0, or 16 or more",
		"synth:latent_rope=16":          "latent_rope=16: want latent beside it",
		"synth:latent=64,kv_heads=2":    "latent=64: want kv_heads=1, one row is cached for all heads",
		"synth:latent=64,latent_rope=8": "latent_rope=8: want 0, or 16 or more",
	} {
		if _, err := Open(spec, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
}
