package trace

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Ids that are carried along are those of the trace's tokens, or have a line.
func TestIDsOfTrace(t *testing.T) {
	for _, tt := range []struct {
		dtype string
		shape []int
		want  []string
	}{
		{"I32", []int{6}, nil},
		{"I32", []int{1, 6}, nil},
		{"I32", []int{5}, []string{"tensor token_ids: I32 [5], not integers [6] of as many tokens, ignored"}},
		{"F32", []int{6}, []string{"tensor token_ids: F32 [6], not integers [6] of as many tokens, ignored"}},
	} {
		tr, err := edit(func(_ map[string]string, arrays map[string]array) {
			n, _ := elements(tt.shape)
			arrays["token_ids"] = array{tt.dtype, tt.shape, make([]byte, 4*n)}
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(tr.Unknown, tt.want) {
			t.Errorf("%s %v: %q, want %q", tt.dtype, tt.shape, tr.Unknown, tt.want)
		}
		part, _, err := tr.Cut(Cut{First: 2, Last: 4, Layers: tr.Layers})
		if err != nil {
			t.Fatal(err)
		}
		shape := part.src.(*container).tensors["token_ids"].shape
		if whole := slices.Equal(shape, tt.shape); whole == (tt.want == nil) || !whole && shape[len(shape)-1] != 3 {
			t.Errorf("%s %v: ids of a part are %v", tt.dtype, tt.shape, shape)
		}
	}
}

// npyIDs lays out token ids.
func npyIDs(descr, shape string, data ...byte) []byte {
	return npyWith("{'descr': '"+descr+"', 'fortran_order': False, 'shape': "+shape+", }", data)
}

func TestReadIDs(t *testing.T) {
	for _, c := range []struct {
		file []byte
		want []int32
		err  string
	}{
		{file: npyIDs("<i4", "(2,)", 1, 0, 0, 0, 2, 1, 0, 0), want: []int32{1, 258}},
		{file: npyIDs("<i8", "(1,)", 1, 1, 0, 0, 0, 0, 0, 0), want: []int32{257}},
		{file: npyIDs(">i4", "(1,)", 0, 0, 1, 2), want: []int32{258}},
		{file: npyIDs("<i4", "(1,)", 0, 0, 0, 128), err: "number 0: -2147483648, want a token id"},
		{file: npyIDs("<i8", "(1,)", 0, 0, 0, 0, 1, 0, 0, 0), err: "number 0: 4294967296, want a token id"},
		{file: npyIDs("<f4", "(1,)", 0, 0, 0, 0), err: "dtype F32, want I32 or I64"},
		{file: npyIDs("<i4", "(1, 1)", 0, 0, 0, 0), err: "shape [1 1], want [tokens]"},
		{file: npyIDs("<i4", "(1000000000,)", 0, 0, 0, 0), err: "4 bytes of data, want those of shape [1000000000]"},
		{file: []byte("1 2 3"), err: "want a NumPy array"},
	} {
		path := filepath.Join(t.TempDir(), "ids.npy")
		if err := os.WriteFile(path, c.file, 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := ReadIDs(path)
		if !slices.Equal(got, c.want) || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %v (%v), want %v (%s)", c.file, got, err, c.want, c.err)
		}
	}
}

// FuzzIDs: what is read are natural numbers, no more than the file has room for.
func FuzzIDs(f *testing.F) {
	f.Add(npyIDs("<i4", "(2,)", 1, 0, 0, 0, 2, 1, 0, 0))
	f.Add(npyIDs(">i8", "(1,)", 0, 0, 0, 0, 0, 0, 1, 1))
	f.Fuzz(func(t *testing.T, file []byte) {
		size := int64(len(file))
		ids, err := idsOf(member{size, section(bytes.NewReader(file), 0, size)}, 0)
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("error of two lines: %v", err)
		}
		for _, id := range ids {
			if id < 0 || len(ids) > len(file) {
				t.Errorf("%d ids, %d among them", len(ids), id)
			}
		}
	})
}
