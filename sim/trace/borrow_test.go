package trace

import (
	"bytes"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// borrowing makes a trace of layers 2, 5 and 7, the last of which reads the keys and values of layer 2.
func borrowing(layers string, change func(arrays map[string]array)) (*Trace, error) {
	meta, arrays := unequal("F16")
	meta["layers"], arrays["layers.7.q"] = layers, arrays["layers.2.q"]
	if change != nil {
		change(arrays)
	}
	return fromBytes(safetensorsOf(meta, arrays))
}

// A layer without keys and values has those of its owner, its shape, and attention of its own.
func TestBorrowed(t *testing.T) {
	tr, err := borrowing(`{"2":{"window":4},"7":{"kv_from":2,"window":3,"softcap":20}}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Attention{QHeads: 4, KVHeads: 2, QKDim: 4, VDim: 8, Window: 3, Softcap: 20, Scale: 0.5, RopeFactor: 1, Borrows: true, KVFrom: 2}
	if got := *tr.At(7); !reflect.DeepEqual(got, want) || tr.Owner(7) != 2 || tr.Owner(5) != 5 {
		t.Errorf("layer 7 is %+v, want %+v", got, want)
	}
	owner, err := tr.Read(2, 6, 0)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := tr.Read(7, 6, 0); err != nil || !reflect.DeepEqual(l, owner) {
		t.Errorf("read %+v, %v, want %+v", l, err, owner)
	}
}

// It is written as it is read, in fewer bytes than rows of its own would take.
func TestBorrowedWritten(t *testing.T) {
	tr, err := borrowing(`{"7":{"kv_from":2}}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "borrowed.safetensors")
	if err := Write(t.Context(), path, tr, "F16", nil); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if !reflect.DeepEqual(again.Attention, tr.Attention) || !slices.Equal(again.Layers, []int{2, 5, 7}) {
		t.Errorf("read %+v, want %+v", again.Attention, tr.Attention)
	}
	if c := again.src.(*container); c.tensors["layers.7.k"].open != nil || c.meta["version"] != secondVersion {
		t.Errorf("version %s with tensors %v", c.meta["version"], c.tensors)
	}
	a, errA := tr.Read(7, 6, 0)
	b, errB := again.Read(7, 6, 0)
	if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("read %v %v, want %v %v", b, errB, a, errA)
	}
}

func TestBorrowedRefused(t *testing.T) {
	tests := []struct {
		layers, want string
		change       func(arrays map[string]array)
	}{
		{`{"7":{"kv_from":-1}}`, "layer 7: kv_from: -1, want an integer from 0 to 65535", nil},
		{`{"7":{"kv_from":null}}`, "layer 7: kv_from: null, want a number", nil},
		{`{"7":{"kv_from":"2"}}`, "layer 7: kv_from: text 2, want a number", nil},
		{`{"7":{"kv_from":7}}`, "layer 7: kv_from: 7: want a lower layer", nil},
		{`{"7":{"kv_from":8}}`, "layer 7: kv_from: 8: want a lower layer", nil},
		{`{"7":{"kv_from":3}}`, "layer 7: kv_from: 3: not held, want one of 2,5,7", nil},
		{`{"7":{"kv_from":3},"3":{"state_bytes":8}}`, "layer 7: kv_from: 3: not held", nil},
		{`{"7":{"kv_from":2},"8":{"kv_from":7}}`, "layer 8: kv_from: 7: it reads those of layer 2, want a layer with keys and values of its own", func(arrays map[string]array) {
			arrays["layers.8.q"] = arrays["layers.2.q"]
		}},
		{`{"7":{"kv_from":2}}`, "layer 7: kv_from: 2: tensor layers.7.v is there, want q alone", func(arrays map[string]array) {
			arrays["layers.7.v"] = arrays["layers.2.v"]
		}},
		{`{"7":{"kv_from":5}}`, "layer 7: kv_from: 5: tensor layers.7.q: shape [4 4 4], want [4 6 8], as that layer's queries have", nil},
		{`{"7":{"kv_from":2},"2":{"window":3}}`, "layer 7: kv_from: 2: its window or chunk keeps 3 tokens, this layer reads all", nil},
		{`{"7":{"kv_from":2,"window":5},"2":{"window":3}}`, "layer 7: kv_from: 2: its window or chunk keeps 3 tokens, this layer reads 5", nil},
		{`{"7":{"kv_from":2,"window":3},"2":{"chunk":2}}`, "layer 7: kv_from: 2: its window or chunk keeps 2 tokens, this layer reads 3", nil},
		{`{"7":{"kv_from":2,"state_bytes":8}}`, "layer 7: state_bytes: its tensors are held", nil},
	}
	for _, tt := range tests {
		_, err := borrowing(tt.layers, tt.change)
		if err == nil || !strings.HasPrefix(err.Error(), "metadata field layers: ") || !strings.Contains(err.Error(), tt.want) || bytes.ContainsRune([]byte(err.Error()), '\n') {
			t.Errorf("%s: %v, want one line with %q", tt.layers, err, tt.want)
		}
	}
	if _, err := borrowing(`{"2":{}}`, nil); err == nil || !strings.Contains(err.Error(), "tensor layers.7.k: missing") {
		t.Errorf("a layer of queries alone: %v", err)
	}
}
