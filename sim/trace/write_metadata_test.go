package trace

import (
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/nlpodyssey/safetensors"
)

// features are what a layer's attention can be besides plain.
var features = []struct {
	name string
	add  func(a *Attention, r *rand.Rand)
}{
	{"window", func(a *Attention, r *rand.Rand) { a.Window = 1 + r.IntN(1<<r.IntN(31)) }},
	{"chunk", func(a *Attention, r *rand.Rand) { a.Chunk = 1 + r.IntN(1<<r.IntN(31)) }},
	{"softcap", func(a *Attention, r *rand.Rand) { a.Softcap = math.Exp(r.NormFloat64() * 10) }},
	{"scale", func(a *Attention, r *rand.Rand) { a.Scale = math.Exp(r.NormFloat64() * 10) }},
	{"sinks", func(a *Attention, r *rand.Rand) { a.Sinks = headNumbers(a.QHeads, r) }},
	{"alibi", func(a *Attention, r *rand.Rand) { a.ALiBi = headNumbers(a.QHeads, r) }},
	{"rope", func(a *Attention, r *rand.Rand) {
		dims := 2 * (1 + r.IntN(a.QKDim/2))
		theta := math.Exp(r.Float64() * 20)
		a.Rope = Rope{Theta: theta, Style: []string{"neox", "gptj"}[r.IntN(2)], Dims: dims, InvFreq: Frequencies(theta, dims)}
	}},
	{"frequencies", func(a *Attention, r *rand.Rand) {
		a.Rope = Rope{Theta: 1e4, Style: "neox", Dims: a.QKDim}
		for range a.QKDim / 2 {
			a.Rope.InvFreq = append(a.Rope.InvFreq, float64(r.Float32()))
		}
	}},
	{"factor", func(a *Attention, r *rand.Rand) {
		a.Rope = Rope{Theta: 500, Style: "neox", Dims: 2, InvFreq: []float64{1}}
		a.RopeFactor = 1 + r.Float64()
	}},
	{"v_dim", func(a *Attention, r *rand.Rand) { a.VDim = 5 + r.IntN(4) }},
	{"qk_dim", func(a *Attention, r *rand.Rand) {
		a.QKDim = 2 * (1 + r.IntN(4))
		a.VDim = a.QKDim
	}},
	{"heads", func(a *Attention, r *rand.Rand) {
		a.KVHeads = 1 + r.IntN(3)
		a.QHeads = a.KVHeads * (1 + r.IntN(3))
	}},
}

// headNumbers draws one number, which float32 holds, for each head.
func headNumbers(heads int, r *rand.Rand) []float64 {
	var list []float64
	for range heads {
		list = append(list, float64(float32(r.NormFloat64())))
	}
	return list
}

// layersWith makes a trace of some layers in memory; add makes the attention of each from a plain one.
func layersWith(layers int, r *rand.Rand, add func(i int, a *Attention)) *Trace {
	const tokens, queries = 3, 2
	src := fixed{}
	t := &Trace{src: src, Header: Header{Name: "out", Model: "m", Source: "s", NumLayers: 100, Tokens: tokens, Queries: queries}}
	rows := func(heads, n int) (m [][]float32) {
		for range heads {
			row := make([]float32, n)
			for i := range row {
				row[i] = r.Float32()
			}
			m = append(m, row)
		}
		return m
	}
	for i := range layers {
		a := Attention{QHeads: 2, KVHeads: 1, QKDim: 4, VDim: 4, Scale: 0.5, RopeFactor: 1}
		add(i, &a)
		layer := i * 7
		t.Layers, t.Attention = append(t.Layers, layer), append(t.Attention, a)
		src[layer] = &Layer{
			K: rows(a.KVHeads, tokens*a.QKDim), V: rows(a.KVHeads, tokens*a.VDim), Q: rows(a.QHeads, queries*a.QKDim),
			FirstQuery: tokens - queries,
		}
	}
	return t
}

// writtenAndRead writes a trace, checks that it reads back the same, and returns the version of the file.
func writtenAndRead(t *testing.T, want *Trace) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out.safetensors")
	if err := Write(t.Context(), path, want, "F32", nil); err != nil {
		t.Fatal(err)
	}
	got := open(t, path, Options{})
	if !reflect.DeepEqual(got.Header, want.Header) {
		t.Fatalf("read\n%+v\nwant\n%+v", got.Header, want.Header)
	}
	for _, layer := range want.Layers {
		a, _ := got.Read(layer, want.Tokens, 0)
		b, _ := want.Read(layer, want.Tokens, 0)
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("layer %d: rows %+v, want %+v", layer, a, b)
		}
	}
	return got.src.(*container).meta["version"]
}

// Every feature alone, in all layers and in one, reads back as it was, and is written in version 1 where that can say it.
func TestWriteFeatures(t *testing.T) {
	first := []string{"rope", "frequencies", "scale", "heads", "qk_dim"} // what version 1 says where all layers are alike
	for _, f := range features {
		t.Run(f.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			var all Attention
			version := writtenAndRead(t, layersWith(3, r, func(i int, a *Attention) {
				if i == 0 {
					f.add(a, r)
					all = *a
				}
				*a = all
			}))
			if want := slices.Contains(first, f.name); (version == "1") != want {
				t.Errorf("in all layers: version %s, version 1 will do: %t", version, want)
			}
			if version := writtenAndRead(t, layersWith(3, r, func(i int, a *Attention) {
				if i == 1 {
					f.add(a, r)
				}
			})); version != "2" {
				t.Errorf("in one layer: version %s, want 2", version)
			}
		})
	}
}

// Any features together read back as they were.
func TestWriteAnyFeatures(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		alike := r.IntN(3) == 0
		var first Attention
		writtenAndRead(t, layersWith(1+r.IntN(4), r, func(i int, a *Attention) {
			if i > 0 && alike {
				*a = first
				return
			}
			for _, j := range []int{11, 10, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8} { // heads and widths first
				if r.IntN(3) == 0 {
					features[j].add(a, r)
				}
			}
			first = *a
		}))
	}
}

// The file of a trace says what all layers have in common once, and another reader of the format takes it.
func TestWriteSecond(t *testing.T) {
	tr, err := editUnequal(func(meta map[string]string, arrays map[string]array) {
		meta["rope_theta"], meta["softcap"], meta["scale"] = "1000000", "50", "0.0625"
		meta["layers"] = `{"2":{"window":3,"rope_theta":10000.0},"5":{"rope_style":"gptj","colour":"red"}}`
		meta["colour"], meta["x_mine"] = "red", "1"
		arrays["layers.2.sinks"] = array{"F16", []int{4}, make([]byte, 8)}
		arrays["layers.5.o"] = rowsOf("layers.5.o", "F16", 2, 4, 6, 2)
		arrays["token_ids"] = array{"I64", []int{6}, make([]byte, 48)}
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "out.safetensors")
	if err := Write(t.Context(), path, tr, "F16", nil); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, header, err := safetensors.ReadMetadata(file)
	if err != nil {
		t.Fatalf("another reader: %v", err)
	}
	want := map[string]string{
		"format": "kvgauge-trace", "version": "2", "model": "m", "source": "a test", "num_layers": "6", "position_offset": "0",
		"softcap": "50", "scale": "0.0625", "colour": "red", "x_mine": "1",
		"layers": `{"2":{"rope_dims":4,"rope_style":"neox","rope_theta":10000,"window":3},"5":{"rope_dims":8,"rope_style":"gptj","rope_theta":1000000}}`,
	}
	if !maps.Equal(header.Metadata(), want) {
		t.Errorf("metadata %v, want %v", header.Metadata(), want)
	}
	got := open(t, path, Options{})
	if !reflect.DeepEqual(got.Attention, tr.Attention) {
		t.Errorf("read %+v, want %+v", got.Attention, tr.Attention)
	}
	lost := "metadata field layers: layer 5: colour: not a field of a layer, ignored" // written anew
	if again := slices.DeleteFunc(slices.Clone(tr.Unknown), func(s string) bool { return s == lost }); !slices.Equal(got.Unknown, again) {
		t.Errorf("ignored %q, want %q", got.Unknown, again)
	}
	for _, layer := range tr.Layers {
		checkDigits(t, got, layer)
	}
	if names := got.src.(*container).carried(); !slices.Equal(names, []string{"layers.5.o", "token_ids"}) {
		t.Errorf("carries %q along", names)
	}
}
