package trace

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Through every container a trace comes back with the same header, metadata and bytes of every tensor.
func TestExportRoundTrip(t *testing.T) {
	for _, name := range []string{"whole", "small"} {
		meta, arrays := whole()
		if name == "small" {
			meta, arrays = small("BF16")
			meta["rope_theta"] = "10000"
		}
		want, err := fromBytes(safetensorsOf(meta, arrays))
		if err != nil {
			t.Fatal(err)
		}
		for _, via := range []string{"t.npz", "t", "t.safetensors", "folder.d/"} {
			t.Run(name+" "+via, func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, via)
				if strings.HasSuffix(via, "/") {
					path += "/"
				}
				if err := Export(t.Context(), path, want, "", nil); err != nil {
					t.Fatal(err)
				}
				if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
					t.Errorf("left behind: %v, %v", list, err)
				}
				got := open(t, path, Options{})
				shape := got.Header
				if shape.Name = want.Name; !reflect.DeepEqual(shape, want.Header) {
					t.Errorf("read %+v, want %+v", shape, want.Header)
				}
				from, to := want.src.(*container), got.src.(*container)
				if !reflect.DeepEqual(from.meta, to.meta) {
					t.Errorf("metadata %v, want %v", to.meta, from.meta)
				}
				for tensor, x := range from.tensors {
					a, errA := x.read()
					b, errB := to.tensors[tensor].read()
					if errA != nil || errB != nil || !bytes.Equal(a, b) || !reflect.DeepEqual(x.shape, to.tensors[tensor].shape) || x.dtype != to.tensors[tensor].dtype {
						t.Errorf("tensor %s: %v, %v", tensor, errA, errB)
					}
				}
				if len(to.tensors) != len(from.tensors) {
					t.Errorf("%d tensors, want %d", len(to.tensors), len(from.tensors))
				}
			})
		}
	}
}

// Rows take the dtype that is asked for, and nothing else does: small integers are the same in all of them.
func TestExportDtype(t *testing.T) {
	want, err := fromBytes(safetensorsOf(whole()))
	if err != nil {
		t.Fatal(err)
	}
	for dtype := range rowBytes {
		path := filepath.Join(t.TempDir(), "t.npz")
		if err := Export(t.Context(), path, want, dtype, nil); err != nil {
			t.Fatal(err)
		}
		got := open(t, path, Options{})
		for name, x := range got.src.(*container).tensors {
			_, kind, _ := tensorOf(name)
			rows := strings.Contains("q k v o c k_rope w_uk w_uv", kind) && kind != ""
			if before := want.src.(*container).tensors[name].dtype; rows && x.dtype != dtype || !rows && x.dtype != before {
				t.Errorf("%s to %s: %s is %s", before, dtype, name, x.dtype)
			}
		}
		checkPart(t, widenedTrace(t, got), 0, []int{0, 1})
	}
}

// widenedTrace is a trace whose rows are F32.
func widenedTrace(t *testing.T, tr *Trace) *Trace {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wide")
	if err := Export(t.Context(), path, tr, "F32", nil); err != nil {
		t.Fatal(err)
	}
	return open(t, path, Options{})
}

// Nothing is left where writing fails.
func TestExportFails(t *testing.T) {
	stop := errors.New("stopped")
	for _, tt := range []struct {
		name, path, dtype, want string
		change                  func(arrays map[string]array)
		err                     error
	}{
		{"beyond F16", "t.npz", "F16", "tensor layers.2.k: element [0 0 1]: 70000 is beyond F16", func(arrays map[string]array) {
			arrays["layers.2.k"] = floats(1, 70000)
		}, nil},
		{"not a number", "t", "BF16", "tensor layers.2.k: element [0 0 0]: NaN, want a finite number", func(arrays map[string]array) {
			arrays["layers.2.k"] = floats(float32(math.NaN()))
		}, nil},
		{"no type of NumPy", "t", "", "tensor strange: dtype F8_E4M3, which NumPy does not have", func(arrays map[string]array) {
			arrays["strange"] = array{"F8_E4M3", []int{2}, make([]byte, 2)}
		}, nil},
		{"a scalar", "t.npz", "", "tensor step: among npy files it would be read as metadata", func(arrays map[string]array) {
			arrays["step"] = array{"I64", []int{}, make([]byte, 8)}
		}, nil},
		{"a path", "t", "", "tensor ../../t: no name for a file", func(arrays map[string]array) {
			arrays["../../t"] = array{"I64", []int{1}, make([]byte, 8)}
		}, nil},
		{"another end", "t.pt", "", "want a file that ends in .safetensors or .npz", nil, nil},
		{"stopped file", "t.safetensors", "", "stopped", nil, stop},
		{"stopped folder", "t", "", "stopped", nil, stop},
		{"no folder there", "missing/t", "", "no such file or directory", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			meta, arrays := small("F32")
			if tt.change != nil {
				tt.change(arrays)
				if a := arrays["layers.2.k"]; len(a.data) < 6*2*4*4 { // its first elements
					b := rowsOf("layers.2.k", "F32", 0, 6, 2, 4)
					copy(b.data, a.data)
					arrays["layers.2.k"] = b
				}
			}
			tr, err := fromBytes(safetensorsOf(meta, arrays))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			err = Export(t.Context(), filepath.Join(dir, tt.path), tr, tt.dtype, func(int, int) error { return tt.err })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
				t.Errorf("left behind: %v, %v", list, err)
			}
		})
	}
}

// A folder that is there stays as it is.
func TestExportKeepsFolders(t *testing.T) {
	tr, err := fromBytes(safetensorsOf(small("F32")))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Export(t.Context(), dir, tr, "", nil); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Error(err)
	}
}

// A cancelled export leaves nothing, from the moment of the cancellation on.
func TestExportCancelled(t *testing.T) {
	tr, err := fromBytes(safetensorsOf(small("F32")))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"t", "t.npz"} {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		err := Export(ctx, filepath.Join(dir, name), tr, "", func(int, int) error {
			cancel()
			return ctx.Err()
		})
		if list, _ := os.ReadDir(dir); !errors.Is(err, context.Canceled) || len(list) > 0 {
			t.Errorf("%s: %v, left %v", name, err, list)
		}
	}
}
