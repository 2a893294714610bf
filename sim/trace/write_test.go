package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nlpodyssey/safetensors"
)

// fixed is a source whose rows are in memory.
type fixed map[int]*Layer

func (f fixed) read(layer, _, _ int) (*Layer, error) { return f[layer], nil }
func (f fixed) hash() (string, error)                { return "", nil }
func (f fixed) close() error                         { return nil }

// fixedTrace holds one layer of 2 tokens, 1 query, 1 head of 2 channels.
func fixedTrace(k0 float32) *Trace {
	l := &Layer{K: [][]float32{{k0, 1, 2, 3}}, V: [][]float32{{4, 5, 6, 7}}, Q: [][]float32{{8, 9}}, FirstQuery: 1}
	return &Trace{src: fixed{3: l}, Header: Header{
		Name: "fixed", Model: "m", Layers: []int{3}, NumLayers: 4, Tokens: 2, Queries: 1,
		Attention: []Attention{{QHeads: 1, KVHeads: 1, QKDim: 2, VDim: 2, Scale: 1 / math.Sqrt2, RopeFactor: 1}},
	}}
}

// What is written reads back the same: shape, metadata and every row, in every dtype.
func TestWriteRoundTrip(t *testing.T) {
	changes := map[string]func(meta map[string]string, arrays map[string]array){
		"plain":  func(map[string]string, map[string]array) {},
		"repeat": func(meta map[string]string, _ map[string]array) { meta["repeat_span"] = "2..5" },
		"rope":   func(meta map[string]string, _ map[string]array) { meta["rope_theta"] = "500000.0" },
		"partial gptj": func(meta map[string]string, _ map[string]array) {
			meta["rope_theta"], meta["rope_style"], meta["rope_dims"], meta["position_offset"] = "1e4", "gptj", "2", "7"
		},
		"scaled rope": func(meta map[string]string, arrays map[string]array) {
			meta["rope_theta"] = "10000"
			arrays["rope_inv_freq"] = floats(1, 0.0025)
		},
		"needles": func(meta map[string]string, _ map[string]array) {
			meta["needles"] = `[{"layer":2,"kv_head":1,"key":1,"query":5},{"layer":5,"kv_head":0,"key":0,"query":3}]`
		},
		"other scale and layers": func(meta map[string]string, _ map[string]array) {
			meta["scale"], meta["num_layers"] = "0.1767766952966369", "61"
		},
		"all queries": func(_ map[string]string, arrays map[string]array) {
			for _, name := range []string{"layers.2.q", "layers.5.q"} {
				arrays[name] = rowsOf(name, "F32", 0, 6, 4, 4)
			}
		},
		"text to escape": func(meta map[string]string, _ map[string]array) {
			meta["source"], meta["model"] = "a \"quoted\" <text>\nof two lines, é and 語", "org/model"
		},
	}
	for name, change := range changes {
		for dtype := range rowBytes {
			t.Run(name+" "+dtype, func(t *testing.T) {
				meta, arrays := small("F32")
				change(meta, arrays)
				want, err := fromBytes(safetensorsOf(meta, arrays))
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(t.TempDir(), "out.safetensors")
				if err := Write(t.Context(), path, want, dtype, nil); err != nil {
					t.Fatal(err)
				}
				got := open(t, path, Options{})
				if x := got.src.(*container).tensors["layers.2.q"]; x.dtype != dtype {
					t.Errorf("dtype %s, want %s", x.dtype, dtype)
				}
				shape := *got
				shape.Name, shape.src = want.Name, want.src
				if !reflect.DeepEqual(&shape, want) {
					t.Errorf("read %+v, want %+v", shape, *want)
				}
				for _, layer := range want.Layers {
					checkDigits(t, got, layer)
				}
			})
		}
	}
}

// Writing a part of a trace leaves the rest away; other tensors and fields are carried along.
func TestWritePart(t *testing.T) {
	meta, arrays := small("F16")
	meta["text"] = "what it says"
	ids := []byte("123456781234567812345678123456781234567812345678")
	arrays["token_ids"] = array{"I64", []int{6}, ids}
	arrays["mask"] = array{"BOOL", []int{3}, []byte{0, 1, 1}}
	whole, err := fromBytes(safetensorsOf(meta, arrays))
	if err != nil {
		t.Fatal(err)
	}
	part := *whole
	part.Layers = []int{5}
	path := filepath.Join(t.TempDir(), "part.safetensors")
	if err := Write(t.Context(), path, &part, "BF16", nil); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n, header, err := safetensors.ReadMetadata(file)
	if err != nil {
		t.Fatalf("another reader: %v", err)
	}
	if (8+n)%8 != 0 {
		t.Errorf("data start at byte %d, want a multiple of 8", 8+n)
	}
	if header.Metadata()["text"] != "what it says" || header.Metadata()["num_layers"] != "6" {
		t.Errorf("metadata %v", header.Metadata())
	}
	var names []string
	for name, x := range header.Tensors() {
		names = append(names, name)
		if x.DataOffsets[0]%x.DType.Size() != 0 {
			t.Errorf("tensor %s starts at byte %d of the data, want it aligned", name, x.DataOffsets[0])
		}
	}
	if len(names) != 5 {
		t.Errorf("tensors %v, want layers.5.*, mask and token_ids", names)
	}
	at := header.Tensors()["token_ids"].DataOffsets
	if got := file[8+n:][at[0]:at[1]]; !bytes.Equal(got, ids) {
		t.Errorf("token_ids %s, want %s", got, ids)
	}
	tr := open(t, path, Options{})
	checkDigits(t, tr, 5)
}

func TestWriteIsDeterministic(t *testing.T) {
	tr := open(t, "stories260k", Options{})
	var files [2][]byte
	for i := range files {
		path := filepath.Join(t.TempDir(), "out.safetensors")
		err := Write(t.Context(), path, tr, "F16", nil)
		if err == nil {
			files[i], err = os.ReadFile(path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two writings differ")
	}
}

func TestWriteProgress(t *testing.T) {
	var heard []string
	err := Write(t.Context(), filepath.Join(t.TempDir(), "out"), fixedTrace(0), "F32", func(done, total int) error {
		heard = append(heard, fmt.Sprintf("%d/%d", done, total))
		return nil
	})
	if got := strings.Join(heard, " "); err != nil || got != "1/3 2/3 3/3" {
		t.Errorf("heard %s, %v", got, err)
	}
}

// Nothing is left where writing fails, and a file that was there stays as it was.
func TestWriteFails(t *testing.T) {
	stop := errors.New("stopped")
	tests := []struct {
		name  string
		k0    float32
		dtype string
		err   error // of progress
		want  string
	}{
		{"unknown dtype", 0, "F8", nil, "dtype F8, want F32, F16 or BF16"},
		{"no dtype", 0, "", nil, `dtype "", want F32, F16 or BF16`},
		{"beyond F16", 65520, "F16", nil, "tensor layers.3.k: token 0: head 0: channel 0: 65520 is beyond F16"},
		{"beyond BF16", math.MaxFloat32, "BF16", nil, "tensor layers.3.k: token 0: head 0: channel 0: 3.4028235e+38 is beyond BF16"},
		{"not a number", float32(math.NaN()), "F32", nil, "NaN is beyond F32"},
		{"stopped", 0, "F32", stop, "stopped"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			path := filepath.Join(folder, "out.safetensors")
			if err := os.WriteFile(path, []byte("before"), 0o666); err != nil {
				t.Fatal(err)
			}
			err := Write(t.Context(), path, fixedTrace(tt.k0), tt.dtype, func(int, int) error { return tt.err })
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != "before" {
				t.Errorf("the file now holds %q, %v", b, err)
			}
			if list, err := os.ReadDir(folder); err != nil || len(list) != 1 {
				t.Errorf("left behind: %v, %v", list, err)
			}
		})
	}
}

func TestWriteNowhere(t *testing.T) {
	folder := t.TempDir()
	occupied := filepath.Join(folder, "folder.npz")
	if err := os.Mkdir(occupied, 0o777); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		folder:                           "is there already, want the name of a new folder",
		occupied:                         "not a regular file",
		filepath.Join(folder, "out.bin"): "want a file that ends in .safetensors or .npz, or a folder",
		filepath.Join(folder, "missing", "out.safetensors"): "no such file or directory",
	} {
		err := Write(t.Context(), path, fixedTrace(0), "F32", nil)
		if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), folder) != 1 {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestWriteCancelled leaves nothing, from the moment of the cancellation on.
func TestWriteCancelled(t *testing.T) {
	for _, name := range []string{"out.safetensors", "out.npz", "out"} {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		err := Write(ctx, filepath.Join(dir, name), fixedTrace(0), "F32", func(done, total int) error {
			if done == 1 {
				cancel()
				for left := 1; left > 0; time.Sleep(time.Millisecond) {
					entries, err := os.ReadDir(dir)
					if err != nil {
						return err
					}
					left = len(entries)
				}
			}
			return nil // goes on, as one that does not look
		})
		if entries, _ := os.ReadDir(dir); !errors.Is(err, context.Canceled) || len(entries) > 0 {
			t.Errorf("%s: %v, left %v", name, err, entries)
		}
	}
}

// A trace that is made is the same in all containers.
func TestWriteContainers(t *testing.T) {
	made := open(t, "synth:layers=2,q_heads=4,kv_heads=2,head_dim=16,sinks=1,window=8,full_every=2,needles=0,tokens=32", Options{Seed: 3})
	for _, name := range []string{"out.safetensors", "out.npz", "out"} {
		path := filepath.Join(t.TempDir(), name)
		if err := Write(t.Context(), path, made, "BF16", nil); err != nil {
			t.Fatal(err)
		}
		tr := open(t, path, Options{})
		if tr.Model != made.Model || tr.At(0).Sinks == nil || tr.Unknown != nil {
			t.Errorf("%s: read %+v", name, tr.Header)
		}
		for _, layer := range made.Layers {
			got, want := checkLayer(t, tr, layer, 32), checkLayer(t, made, layer, 32)
			for i, x := range want.V[1] {
				if d := got.V[1][i] - x; d > 0.01*max(x, -x) || -d > 0.01*max(x, -x) {
					t.Fatalf("%s: layer %d: value %d: %v, want %v", name, layer, i, got.V[1][i], x)
				}
			}
		}
	}
}
