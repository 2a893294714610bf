package trace

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// numpyTypes are the element types of the test arrays as NumPy names them.
var numpyTypes = map[string]string{"F32": "<f4", "F16": "<f2", "I64": "<i8"}

// npyOf lays out an npy file as NumPy does: the data start at a multiple of 64 bytes.
func npyOf(a array) []byte {
	shape := strings.Trim(strings.ReplaceAll(fmt.Sprint(a.shape), " ", ", "), "[]")
	if len(a.shape) == 1 {
		shape += ","
	}
	return npyWith(fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", numpyTypes[a.dtype], shape), a.data)
}

func npyWith(dict string, data []byte) []byte {
	for (10+len(dict)+1)%64 != 0 {
		dict += " "
	}
	dict += "\n"
	out := append([]byte("\x93NUMPY\x01\x00"), byte(len(dict)), byte(len(dict)>>8))
	return append(append(out, dict...), data...)
}

// filesOf returns the files of a folder or archive of arrays.
func filesOf(meta map[string]string, arrays map[string]array) map[string][]byte {
	files := map[string][]byte{}
	for name, a := range arrays {
		files[name+".npy"] = npyOf(a)
	}
	if meta != nil {
		text, err := json.Marshal(meta)
		if err != nil {
			panic(err)
		}
		files["metadata.json"] = text
	}
	return files
}

func writeFolder(t testing.TB, files map[string][]byte) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "captured")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func zipOf(files map[string][]byte, method uint16) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err == nil {
			_, err = w.Write(files[name])
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func fromZip(b []byte) (*Trace, error) {
	c, err := openNPZ(bytes.NewReader(b), int64(len(b)), "captured", func() error { return nil })
	if err != nil {
		return nil, err
	}
	return newTrace(c)
}

// The same arrays give the same trace from all formats.
func TestNPYEqualsSafetensors(t *testing.T) {
	for _, dtype := range []string{"F32", "F16"} {
		meta, arrays := small(dtype)
		meta["rope_theta"] = "500"
		meta["needles"] = `[{"layer":2,"kv_head":1,"key":1,"query":5}]`
		meta["repeat_span"] = "3..5"
		arrays["rope_inv_freq"] = floats(1, 0.125)
		arrays["token_ids"] = array{"I64", []int{6}, make([]byte, 48)}
		want, err := fromBytes(safetensorsOf(meta, arrays))
		if err != nil {
			t.Fatal(err)
		}
		files := filesOf(meta, arrays)
		files["notes.txt"] = []byte("no array")
		path := filepath.Join(t.TempDir(), "captured")
		stored, deflated := path+".npz", path+".v2.NPZ"
		for file, method := range map[string]uint16{stored: zip.Store, deflated: zip.Deflate} {
			if err := os.WriteFile(file, zipOf(files, method), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		for spec, name := range map[string]string{writeFolder(t, files): "captured", stored: "captured", deflated: "captured.v2"} {
			got := open(t, spec, Options{})
			if got.Name != name {
				t.Errorf("%s is called %s, want %s", spec, got.Name, name)
			}
			if carried := got.src.(*container).carried(); !slices.Equal(carried, []string{"token_ids"}) {
				t.Errorf("%s carries %v along, want token_ids", spec, carried)
			}
			shape := *got
			shape.src, shape.Name = want.src, want.Name
			if !reflect.DeepEqual(&shape, want) {
				t.Errorf("%s: %+v, want %+v", spec, shape, *want)
			}
			for _, layer := range got.Layers {
				checkDigits(t, got, layer)
				if l := checkLayer(t, got, layer, 3); l.Q[3][2] != digit(fmt.Sprintf("layers.%d.q", layer), 2, 3, 2) {
					t.Errorf("%s: prefix of layer %d: %v", spec, layer, l.Q)
				}
			}
		}
	}
}

// Without metadata.json, or with a part of it, the model is called like the folder.
func TestNPYWithoutMetadata(t *testing.T) {
	meta, arrays := small("F16")
	delete(meta, "format")
	delete(meta, "version")
	delete(meta, "model")
	for _, meta := range []map[string]string{nil, meta} {
		tr := open(t, writeFolder(t, filesOf(meta, arrays)), Options{})
		if tr.Model != "captured" || tr.Source != meta["source"] || tr.NumLayers != 6 || tr.Attention[0].Rope.Dims != 0 {
			t.Errorf("read %+v", tr)
		}
	}
}

// The hash of a folder is what "sha256sum metadata.json *.npy | sha256sum" prints, files sorted by name.
func TestFolderHash(t *testing.T) {
	_, arrays := small("F32")
	for name := range arrays {
		if name[:8] == "layers.5" {
			delete(arrays, name)
		}
	}
	folder := writeFolder(t, filesOf(nil, arrays))
	var lines strings.Builder
	for _, kind := range []string{"k", "q", "v"} {
		file := "layers.2." + kind + ".npy"
		b, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			t.Fatal(err)
		}
		sum, _ := sha256Of(bytes.NewReader(b))
		lines.WriteString(sum + "  " + file + "\n")
	}
	want, _ := sha256Of(strings.NewReader(lines.String()))
	if got, err := open(t, folder, Options{}).Hash(); err != nil || got != want {
		t.Errorf("hash %s, %v, want %s", got, err, want)
	}
}

// v2 is the header of version 2 with a length of 4 bytes.
func v2(length uint32, rest string) []byte {
	return append(binary.LittleEndian.AppendUint32([]byte("\x93NUMPY\x02\x00"), length), rest...)
}

func TestNPYRefused(t *testing.T) {
	dict := func(text string) []byte { return npyWith(text, make([]byte, 96)) }
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "no npy header"},
		{"magic", []byte("\x93NUMPZ\x01\x00\x00\x00"), "no npy header"},
		{"version", []byte("\x93NUMPY\x04\x00\x00\x00"), "version 4, want 1, 2 or 3"},
		{"no dictionary", []byte("\x93NUMPY\x01\x00\x00\x00"), "npy header: want a dictionary"},
		{"cut short", []byte("\x93NUMPY\x01\x00\xff\xff{'descr'"), "npy header: unexpected EOF"},
		{"version 2 cut short", []byte("\x93NUMPY\x02\x00\x00\x00"), "npy header: EOF"},
		{"4 GiB of header", v2(0xffffffff, "{}\n"), "npy header: more than 64 KiB"},
		{"no line end", v2(2, "{}"), "npy header: want a dictionary"},
		{"no keys", dict("{}"), "npy header: "},
		{"other order", dict("{'shape': (6, 2, 4), 'fortran_order': False, 'descr': '<f2', }"), "npy header: "},
		{"no brace", dict("{'descr': '<f2', 'fortran_order': False, 'shape': (6, 2, 4), "), "npy header: want a dictionary"},
		{"shape of one letter", dict("{'descr': '<f2', 'fortran_order': False, 'shape': (, }"), "npy header: "},
		{"shape of letters", dict("{'descr': '<f2', 'fortran_order': False, 'shape': (a, b), }"), "npy header: "},
		{"order", dict("{'descr': '<f2', 'fortran_order': Maybe, 'shape': (6, 2, 4), }"), "npy header: "},
		{"pickle", []byte("\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00"), "a pickle, want a NumPy array"},
		{"version 3 cut short", []byte("\x93NUMPY\x03\x00\x00\x00"), "npy header: EOF"},
		{"fortran and too few bytes", dict("{'descr': '<f2', 'fortran_order': True, 'shape': (7, 2, 4), }"), "96 bytes of data, want those of shape [7 2 4] in <f2"},
		{"objects", dict("{'descr': '|O', 'fortran_order': False, 'shape': (6, 2, 4), }"), "dtype |O, want f2, f4 or f8, such as x.astype(numpy.float32)"},
		{"void", dict("{'descr': '<V2', 'fortran_order': False, 'shape': (6, 2, 4), }"), "dtype <V2, want metadata field dtype=bfloat16 where it is that, or f2, f4 or f8"},
		{"short integers", dict("{'descr': '<i2', 'fortran_order': False, 'shape': (6, 2, 4), }"), "dtype <i2, want metadata field dtype=bfloat16"},
		{"integers", dict("{'descr': '>i4', 'fortran_order': False, 'shape': (6, 2, 2), }"), "tensor layers.2.k: dtype I32, want F32, F16 or BF16"},
		{"one letter", dict("{'descr': 'f', 'fortran_order': False, 'shape': (6, 2, 2), }"), "dtype f, want f2, f4 or f8"},
		{"records", dict("{'descr': [('a', '<f2')], 'fortran_order': False, 'shape': (48,), }"), "dtype [('a', '<f2')], want"},
		{"negative", dict("{'descr': '<f2', 'fortran_order': False, 'shape': (-6, -2, 4), }"), "shape [-6 -2 4], want no negative size"},
		{"beyond int", dict("{'descr': '<f2', 'fortran_order': False, 'shape': (99999999999999999999,), }"), "npy header: "},
		{"overflow", dict("{'descr': '<f2', 'fortran_order': False, 'shape': (4294967296, 4294967296, 48), }"), "96 bytes of data, want those of shape [4294967296 4294967296 48] in <f2"},
		{"bytes overflow", dict("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 1, 1), }"), "96 bytes of data"},
		{"dimensions", dict("{'descr': '<f2', 'fortran_order': False, 'shape': (48" + strings.Repeat(", 1", 32) + "), }"), "33 dimensions, want at most 32"},
		{"shape above the data", dict("{'descr': '<f2', 'fortran_order': False, 'shape': (7, 2, 4), }"), "96 bytes of data, want those of shape [7 2 4] in <f2"},
		{"bytes left over", dict("{'descr': '<f2', 'fortran_order': False, 'shape': (5, 2, 4), }"), "96 bytes of data, want those of shape [5 2 4] in <f2"},
		{"scalar", npyWith("{'descr': '<f2', 'fortran_order': False, 'shape': (), }", make([]byte, 2)), "shape [], want [rows, heads, head_dim]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			meta, arrays := small("F16")
			files := filesOf(meta, arrays)
			files["layers.2.k.npy"] = tt.file
			for _, open := range []func() (*Trace, error){
				func() (*Trace, error) { return Open(writeFolder(t, files), Options{}) },
				func() (*Trace, error) { return fromZip(zipOf(files, zip.Store)) },
			} {
				_, err := open()
				if err == nil || !strings.Contains(err.Error(), "tensor layers.2.k: ") || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
			}
		})
	}
}

// Names of bfloat16 and float16 as the libraries print them.
func TestDeclaredType(t *testing.T) {
	for declared, want := range map[string]string{
		"bfloat16": "BF16", "BF16": "BF16", "torch.bfloat16": "BF16", "<class 'ml_dtypes.bfloat16'>": "BF16", "Float16": "F16", "float32": "",
	} {
		for code, own := range map[string]bool{"V2": false, "u2": true, "i2": true} {
			got, err := (&npyArray{code: code}).elementType(own, declared)
			if got != want || (err == nil) != (want != "") {
				t.Errorf("%s declared %s: %q, %v, want %q", code, declared, got, err, want)
			}
		}
	}
	if got, err := (&npyArray{code: "u2"}).elementType(false, "bfloat16"); got != "U16" || err != nil {
		t.Errorf("carried along: %s, %v, want U16", got, err)
	}
}

func TestNPYMetadataRefused(t *testing.T) {
	_, arrays := small("F16")
	for text, want := range map[string]string{
		`[]`:                     "metadata.json: byte 1: [, want an object",
		`null`:                   "metadata.json: byte 4: null, want an object",
		`{"scale":[1, 2]}`:       "metadata field scale: [1,2], want a finite number above 0",
		`{"scale":true}`:         "metadata field scale: true, want a finite number above 0",
		`{"scale":-1}`:           "metadata field scale: -1, want a finite number above 0",
		`{"num_layers":6.5}`:     "metadata field num_layers: 6.5, want an integer from 6 to 65536",
		`{"scale":1,`:            "metadata.json: byte 11: unexpected EOF",
		`{"scale":01}`:           "metadata.json: byte 10: invalid character '1'",
		`{} {}`:                  "metadata.json: byte 4: text after the object",
		`{"a":"1"`:               "metadata.json: byte 8: unexpected EOF",
		`{"version":"3"}`:        "metadata field version: 3, want 1 or 2",
		`{"format":"something"}`: "metadata field format: something, want kvgauge-trace",
	} {
		files := filesOf(nil, arrays)
		files["metadata.json"] = []byte(text)
		if _, err := Open(writeFolder(t, files), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Archives whose directory lies about its members.
func TestNPZRefused(t *testing.T) {
	meta, arrays := small("F16")
	files := filesOf(meta, arrays)
	lie := func(change func(h *zip.FileHeader)) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			h := &zip.FileHeader{Name: name, Method: zip.Store, CompressedSize64: uint64(len(files[name])), UncompressedSize64: uint64(len(files[name]))}
			if name == "layers.2.k.npy" {
				change(h)
			}
			w, err := z.CreateRaw(h)
			if err == nil {
				_, err = w.Write(files[name])
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	good := zipOf(files, zip.Deflate)
	tests := []struct {
		name    string
		archive []byte
		want    string
	}{
		{"no archive", []byte("something else"), "want an npz archive"},
		{"cut short", good[:len(good)-10], "want an npz archive"},
		{"no arrays", zipOf(map[string][]byte{"a.npy": nil, "metadata.json": nil}, zip.Store), "holds no trace, want layers.N.q.npy"},
		{"twice", lie(func(h *zip.FileHeader) { h.Name = "layers.5.k.npy" }), "member layers.5.k.npy: comes twice"},
		{"stored larger", lie(func(h *zip.FileHeader) { h.UncompressedSize64 = 1 << 40 }), "1099511627776 bytes stored as 224"},
		{"larger than the archive", lie(func(h *zip.FileHeader) { h.CompressedSize64, h.UncompressedSize64 = 1<<40, 1<<40 }), "1099511627776 bytes, but the archive has"},
		{"bomb", lie(func(h *zip.FileHeader) { h.Method, h.UncompressedSize64 = zip.Deflate, 1<<40 }), "1099511627776 bytes deflated to 224, want at most 1032 times less"},
		{"method", lie(func(h *zip.FileHeader) { h.Method = 12 }), "member layers.2.k.npy: compression method 12, want stored or deflated"},
		{"not deflated", lie(func(h *zip.FileHeader) { h.Method = zip.Deflate }), "member layers.2.k.npy: unexpected EOF: the archive is damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := fromZip(tt.archive); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// A byte that changed is found in every member when the archive is opened, whatever is read of it later.
func TestNPZChecksums(t *testing.T) {
	meta, arrays := small("F16")
	arrays["token_ids"] = array{"I64", []int{6}, make([]byte, 48)}
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		whole := zipOf(filesOf(meta, arrays), method)
		z, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fromZip(whole); err != nil {
			t.Errorf("method %d: %v", method, err)
		}
		for _, f := range z.File {
			at, err := f.DataOffset()
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range []int64{0, int64(f.CompressedSize64) / 2, int64(f.CompressedSize64) - 1} {
				broken := bytes.Clone(whole)
				broken[at+i] ^= 0x10
				_, err := fromZip(broken)
				if got := fmt.Sprint(err); !strings.HasPrefix(got, "member "+f.Name+": ") || !strings.Contains(got, "checksum") {
					t.Errorf("method %d: byte %d of %s: %v, want its member and checksum", method, i, f.Name, err)
				}
			}
		}
	}
}

func FuzzNPY(f *testing.F) {
	meta, arrays := small("F16")
	files := filesOf(meta, arrays)
	f.Add(files["layers.2.k.npy"], files["metadata.json"])
	f.Add(npyWith("{'descr': '<f4', 'fortran_order': False, 'shape': (6, 2, 4), }", make([]byte, 192)), []byte(`{}`))
	f.Add(v2(0xffffffff, "{}\n"), []byte(`null`))
	f.Add(npyWith("{'descr': '>f8', 'fortran_order': True, 'shape': (6, 2, 4), }", make([]byte, 384)), []byte(`{"scale":0.5,"version":2,"layers":{"2":{"window":3}},"a":null}`))
	f.Add(npyWith("{'descr': '<V2', 'fortran_order': False, 'shape': (6, 2, 4), }", make([]byte, 96)), []byte(`{"dtype":"bfloat16","a":1,"a":true}`))
	f.Add(npyWith("{'descr': '<U3', 'fortran_order': False, 'shape': (), }", []byte("0\x00\x00\x00.\x00\x00\x005\x00\x00\x00")), []byte(`{"scale":5e-1}`))
	f.Add(npyWith("{'descr': '>i4', 'fortran_order': True, 'shape': (1, 1), }", []byte{0, 0, 0, 1}), []byte(`{}`))
	f.Fuzz(func(t *testing.T, file, metadata []byte) {
		members := map[string]member{"scale.npy": {int64(len(file)), section(bytes.NewReader(file), 0, int64(len(file)))}}
		if _, err := openNPY(members, "scalar"); err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("error of two lines: %v", err)
		}
		clear(members)
		for name, data := range files {
			switch name {
			case "layers.2.k.npy":
				data = file
			case "metadata.json":
				data = metadata
			}
			members[name] = member{int64(len(data)), section(bytes.NewReader(data), 0, int64(len(data)))}
		}
		c, err := openNPY(members, "fuzzed")
		if err != nil {
			return
		}
		c.sum = func() (string, error) { return "", nil }
		if tr, err := newTrace(c); err == nil {
			readAll(tr)
		}
	})
}

func FuzzNPZ(f *testing.F) {
	meta, arrays := small("F16")
	f.Add(zipOf(filesOf(meta, arrays), zip.Store))
	f.Add(zipOf(filesOf(nil, arrays), zip.Deflate))
	f.Fuzz(func(t *testing.T, file []byte) {
		if tr, err := fromZip(file); err == nil {
			readAll(tr)
		}
	})
}
