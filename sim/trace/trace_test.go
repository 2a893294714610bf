package trace

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"testing"
)

// open opens a trace and closes it with the test.
func open(t testing.TB, spec string, o Options) *Trace {
	t.Helper()
	tr, err := Open(spec, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// checkLayer reads the first tokens rows of a layer and checks the lengths of all heads.
func checkLayer(t testing.TB, tr *Trace, layer, tokens int) *Layer {
	t.Helper()
	l, err := tr.Read(layer, tokens, 0)
	if err != nil {
		t.Fatal(err)
	}
	if l.FirstQuery != tr.FirstQuery() {
		t.Fatalf("first query %d, want %d", l.FirstQuery, tr.FirstQuery())
	}
	a := tr.At(layer)
	check := func(what string, heads [][]float32, n, rows, dim int) {
		t.Helper()
		if len(heads) != n {
			t.Fatalf("%d heads of %s, want %d", len(heads), what, n)
		}
		for h := range heads {
			if len(heads[h]) != rows*dim {
				t.Fatalf("%s head %d: %d values, want %d rows", what, h, len(heads[h]), rows)
			}
		}
	}
	check("k", l.K, a.KVHeads, tokens, a.QKDim)
	check("v", l.V, a.KVHeads, tokens, a.VDim)
	check("q", l.Q, a.QHeads, max(0, tokens-tr.FirstQuery()), a.QKDim)
	return l
}

// array is a tensor of a file that a test makes.
type array struct {
	dtype string
	shape []int
	data  []byte
}

// digit is the value of one channel of the test arrays: small integers, exact in every dtype.
func digit(name string, row, head, channel int) float32 {
	n := 17*row + 5*head + 3*channel
	for _, c := range name {
		n += int(c)
	}
	return float32(n%251 - 125)
}

// rowsOf makes an array [rows, heads, dim] of digits; row 0 is that of token first.
func rowsOf(name, dtype string, first, rows, heads, dim int) array {
	a := array{dtype: dtype, shape: []int{rows, heads, dim}}
	for t := range rows {
		for h := range heads {
			for d := range dim {
				u := math.Float32bits(digit(name, first+t, h, d))
				switch dtype {
				case "F32":
					a.data = binary.LittleEndian.AppendUint32(a.data, u)
				case "BF16":
					a.data = binary.LittleEndian.AppendUint16(a.data, uint16(u>>16))
				case "F16": // integers: 10 bits of fraction, exponent rebased; 0 has none
					v := uint16(u >> 16 & 0x8000)
					if u<<1 != 0 {
						v |= uint16(u>>13&0x3ff) | uint16((u>>23&0xff)-112)<<10
					}
					a.data = binary.LittleEndian.AppendUint16(a.data, v)
				}
			}
		}
	}
	return a
}

// small returns the parts of a valid trace: layers 2 and 5, 6 tokens, 4 queries, 4 heads on 2 of 4 channels.
func small(dtype string) (map[string]string, map[string]array) {
	arrays := map[string]array{}
	for _, layer := range []int{2, 5} {
		for _, kind := range []string{"k", "v"} {
			name := fmt.Sprintf("layers.%d.%s", layer, kind)
			arrays[name] = rowsOf(name, dtype, 0, 6, 2, 4)
		}
		name := fmt.Sprintf("layers.%d.q", layer)
		arrays[name] = rowsOf(name, dtype, 2, 4, 4, 4)
	}
	return map[string]string{"format": "kvgauge-trace", "version": "1", "model": "m", "source": "a test"}, arrays
}

// unequal returns the parts of a valid trace of version 2, of as many tokens and queries: layer 2 has 4 heads on 2, keys
// of 4 and values of 8 channels, layer 5 has 6 heads on 1, keys of 8 and values of 2.
func unequal(dtype string) (map[string]string, map[string]array) {
	meta, arrays := small(dtype)
	meta["version"] = "2"
	for layer, a := range map[int]Attention{2: {QHeads: 4, KVHeads: 2, QKDim: 4, VDim: 8}, 5: {QHeads: 6, KVHeads: 1, QKDim: 8, VDim: 2}} {
		add := func(kind string, first, heads, dim int) {
			name := fmt.Sprintf("layers.%d.%s", layer, kind)
			arrays[name] = rowsOf(name, dtype, first, 6-first, heads, dim)
		}
		add("q", 2, a.QHeads, a.QKDim)
		add("k", 0, a.KVHeads, a.QKDim)
		add("v", 0, a.KVHeads, a.VDim)
	}
	return meta, arrays
}

// safetensorsOf lays out a file.
func safetensorsOf(meta map[string]string, arrays map[string]array) []byte {
	header := map[string]any{"__metadata__": meta}
	var data []byte
	for _, name := range slices.Sorted(maps.Keys(arrays)) {
		a := arrays[name]
		header[name] = map[string]any{"dtype": a.dtype, "shape": a.shape, "data_offsets": []int{len(data), len(data) + len(a.data)}}
		data = append(data, a.data...)
	}
	text, err := json.Marshal(header)
	if err != nil {
		panic(err)
	}
	return withHeader(string(text), data)
}

// withHeader puts a header of any text before the data.
func withHeader(text string, data []byte) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(out, text...), data...)
}

// fromBytes opens a safetensors file in memory.
func fromBytes(b []byte) (*Trace, error) { return fromReader(bytes.NewReader(b), int64(len(b))) }

func fromReader(r io.ReaderAt, size int64) (*Trace, error) {
	c, err := openSafetensors(r, size, func() error { return nil })
	if err != nil {
		return nil, err
	}
	return newTrace(c)
}

// checkDigits compares every row of a layer with digit.
func checkDigits(t *testing.T, tr *Trace, layer int) {
	t.Helper()
	l := checkLayer(t, tr, layer, tr.Tokens)
	a := tr.At(layer)
	check := func(kind string, heads [][]float32, first, dim int) {
		name := fmt.Sprintf("layers.%d.%s", layer, kind)
		for h, head := range heads {
			for i, got := range head {
				if want := digit(name, first+i/dim, h, i%dim); got != want {
					t.Fatalf("%s: head %d, value %d: %v, want %v", name, h, i, got, want)
				}
			}
		}
	}
	check("k", l.K, 0, a.QKDim)
	check("v", l.V, 0, a.VDim)
	check("q", l.Q, l.FirstQuery, a.QKDim)
}

// readAll reads every layer, whole, one token of it and its second half; errors are fine, panics are not.
func readAll(tr *Trace) {
	if part, _, err := tr.Cut(Cut{First: tr.Tokens / 2, Last: tr.Tokens - 1, Heads: []int{0}}); err == nil {
		for _, layer := range part.Layers {
			_, _ = part.Read(layer, part.Tokens, 0)
		}
	}
	for _, layer := range tr.Layers {
		_, _ = tr.Read(layer, 1, 0)
		_, _ = tr.Read(layer, tr.Tokens, 0)
	}
	_, _ = tr.Hash()
}
