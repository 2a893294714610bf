package trace

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/nlpodyssey/safetensors"
)

func TestSafetensorsReads(t *testing.T) {
	for dtype := range rowBytes {
		t.Run(dtype, func(t *testing.T) {
			meta, arrays := small(dtype)
			arrays["token_ids"] = array{"I64", []int{6}, make([]byte, 48)}
			arrays["scalar"] = array{"U8", []int{}, make([]byte, 1)}
			arrays["empty"] = array{"F32", []int{0, 3}, nil}
			arrays["strange"] = array{"Q4_0", []int{32}, make([]byte, 18)}
			arrays["tiny"] = array{"F4", []int{2, 3}, make([]byte, 3)}
			arrays["layers.2.mask"] = array{"BOOL", []int{6}, make([]byte, 6)}
			tr, err := fromBytes(safetensorsOf(meta, arrays))
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(tr.Layers, tr.NumLayers, tr.Tokens, tr.Queries, tr.Attention[0].QHeads, tr.Attention[0].KVHeads, tr.Attention[0].QKDim, tr.Attention[0].Scale); got != "[2 5] 6 6 4 4 2 4 0.5" {
				t.Errorf("shape %s", got)
			}
			for _, layer := range tr.Layers {
				checkDigits(t, tr, layer)
			}
		})
	}
}

// A prefix holds the first rows, and those queries that lie in it.
func TestSafetensorsPrefix(t *testing.T) {
	meta, arrays := small("F16")
	tr, err := fromBytes(safetensorsOf(meta, arrays))
	if err != nil {
		t.Fatal(err)
	}
	whole := checkLayer(t, tr, 5, 6)
	for tokens := 1; tokens <= 6; tokens++ {
		got, want := checkLayer(t, tr, 5, tokens), whole.Prefix(tokens, &tr.Attention[0])
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d tokens: %v, want %v", tokens, got, want)
		}
	}
	for _, tt := range []struct {
		layer, tokens int
		want          string
	}{
		{3, 1, "layer 3: not held, want one of 2,5"},
		{2, 0, "0 tokens asked for, it holds 6"},
		{2, 7, "7 tokens asked for, it holds 6"},
	} {
		if _, err := tr.Read(tt.layer, tt.tokens, 0); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Read(%d, %d): %v, want %q", tt.layer, tt.tokens, err, tt.want)
		}
	}
}

// Headers that no writer makes, and files that were cut short.
func TestSafetensorsRefused(t *testing.T) {
	meta, arrays := small("F32")
	good := safetensorsOf(meta, arrays)
	length := func(n uint64) []byte { return append(binary.LittleEndian.AppendUint64(nil, n), good[8:]...) }
	one := func(entry string) []byte { return withHeader(`{"a":`+entry+`}`, make([]byte, 8)) }
	two := func(a, b string) []byte {
		return withHeader(`{"a":{"dtype":"U8","shape":[4],"data_offsets":`+a+`},"b":{"dtype":"U8","shape":[4],"data_offsets":`+b+`}}`, make([]byte, 8))
	}
	twice := func(dtype, shape, at string, size int) []byte {
		return withHeader(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"\u0061":{"dtype":"`+dtype+`","shape":`+shape+`,"data_offsets":`+at+`}}`, make([]byte, size))
	}
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"empty file", nil, "0 bytes, want a safetensors file"},
		{"half a length", good[:5], "5 bytes, want a safetensors file"},
		{"length near 2^63", length(math.MaxInt64), "header of 9223372036854775807 bytes, want at most 16777216"},
		{"length above 2^63", length(math.MaxUint64 - 7), "want at most 16777216"},
		{"length above the limit", length(maxHeader + 1), "header of 16777217 bytes, want at most 16777216"},
		{"length beyond the file", length(uint64(len(good) - 7)), "cut short"},
		{"truncated header", good[:100], "cut short"},
		{"truncated data", good[:len(good)-1], "tensor layers.5.v: data_offsets 1088 to 1280, but the file ends after 1279 bytes of data: it is cut short"},
		{"data left over", append(bytes.Clone(good), 0), "1281 bytes of data, want the 1280 that the header describes"},
		{"empty header", withHeader("", nil), "header: byte 0: unexpected EOF"},
		{"null header", withHeader("null", nil), "header: byte 4: null, want an object"},
		{"array", withHeader("[]", nil), "want an object"},
		{"open object", withHeader(`{"a":`, nil), "unexpected EOF"},
		{"text after", withHeader(`{} {}`, nil), "text after the object"},
		{"no JSON", withHeader(`{a:1}`, nil), "header: byte 1: invalid character 'a'"},
		{"duplicate tensor of other bytes", twice("U8", "[4]", "[4,8]", 8), "tensor a: data_offsets 4 to 8 leave a hole after byte 0"},
		{"duplicate tensor of another shape", twice("U8", "[2,2]", "[0,4]", 4), "metadata field format: missing"},
		{"duplicate tensor that is the same", twice("U8", "[4]", "[0,4]", 4), "metadata field format: missing"},
		{"duplicate field", one(`{"dtype":"U8","dtype":"I8","shape":[8],"data_offsets":[0,8]}`), "tensor a: byte 26: key dtype comes twice"},
		{"metadata twice", withHeader(`{"__metadata__":{"scale":"1"},"__metadata__":{"scale":"1"}}`, nil), "byte 44: key __metadata__ comes twice"},
		{"metadata twice, null", withHeader(`{"__metadata__":null,"__metadata__":{}}`, nil), "key __metadata__ comes twice"},
		{"null metadata", withHeader(`{"__metadata__":null}`, nil), "metadata field format: missing"},
		{"null in metadata", withHeader(`{"__metadata__":{"scale":null}}`, nil), "metadata field scale: byte 29: null, want a string"},
		{"text as metadata", withHeader(`{"__metadata__":"none"}`, nil), "none, want an object"},
		{"array as metadata", withHeader(`{"__metadata__":[]}`, nil), "[, want an object"},
		{"number in metadata", withHeader(`{"__metadata__":{"scale":1}}`, nil), "metadata field scale: byte 26: 1, want a string"},
		{"null tensor", one(`null`), "tensor a: byte 9: null, want an object"},
		{"unknown field", one(`{"dtype":"U8","shape":[8],"data_offsets":[0,8],"crc":1}`), "tensor a: field crc: unknown"},
		{"no dtype", one(`{"shape":[8],"data_offsets":[0,8]}`), "tensor a: want dtype, shape and data_offsets"},
		{"no shape", one(`{"dtype":"U8","data_offsets":[0,8]}`), "tensor a: want dtype, shape and data_offsets"},
		{"null shape", one(`{"dtype":"U8","shape":null,"data_offsets":[0,8]}`), "field shape: byte 31: null, want an array"},
		{"no offsets", one(`{"dtype":"U8","shape":[8]}`), "tensor a: want dtype, shape and data_offsets"},
		{"three offsets", one(`{"dtype":"U8","shape":[8],"data_offsets":[0,8,8]}`), "3 numbers, want first and last byte"},
		{"negative offset", one(`{"dtype":"U8","shape":[8],"data_offsets":[-8,0]}`), "field data_offsets: byte 49: -8, want a natural number"},
		{"huge offset", one(`{"dtype":"U8","shape":[8],"data_offsets":[0,9223372036854775808]}`), "9223372036854775808, want a natural number"},
		{"fraction", one(`{"dtype":"U8","shape":[8.0],"data_offsets":[0,8]}`), "8.0, want a natural number"},
		{"string in shape", one(`{"dtype":"U8","shape":["8"],"data_offsets":[0,8]}`), "8, want a natural number"},
		{"deep shape", one(`{"dtype":"U8","shape":` + strings.Repeat("[", 1<<20) + `}`), "want a natural number"},
		{"many dimensions", one(`{"dtype":"U8","shape":[8` + strings.Repeat(",1", 32) + `],"data_offsets":[0,8]}`), "33 dimensions, want at most 32"},
		{"offsets descend", one(`{"dtype":"U8","shape":[8],"data_offsets":[8,0]}`), "tensor a: data_offsets 8 to 0, want them to ascend"},
		{"overlap", two("[0,4]", "[2,6]"), "tensor b: data_offsets 2 to 6 overlap the tensor before, which ends at 4"},
		{"same place", two("[0,4]", "[0,4]"), "overlap"},
		{"hole", two("[0,4]", "[5,9]"), "tensor b: data_offsets 5 to 9 leave a hole after byte 4"},
		{"hole at the start", two("[1,4]", "[4,8]"), "tensor a: data_offsets 1 to 4 leave a hole after byte 0"},
		{"too few bytes", one(`{"dtype":"F32","shape":[3],"data_offsets":[0,8]}`), "tensor a: 8 bytes, want those of shape [3] in F32"},
		{"shape overflows to 8 bytes", one(`{"dtype":"U8","shape":[4294967296,4294967296,8],"data_offsets":[0,8]}`), "tensor a: shape [4294967296 4294967296 8] overflows"},
		{"bytes overflow to 8", one(`{"dtype":"F64","shape":[2305843009213693953],"data_offsets":[0,8]}`), "8 bytes, want those of shape"},
		{"overflow times zero", one(`{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,8]}`), "overflows"},
		{"half a byte", one(`{"dtype":"F4","shape":[15],"data_offsets":[0,8]}`), "8 bytes, want those of shape [15] in F4"},
		{"name on two lines", withHeader(`{"a\nb":1}`, nil), `tensor "a\nb": byte 9: 1, want an object`},
		{"long name", withHeader(`{"`+strings.Repeat("a", 1000)+`":1}`, nil), "tensor " + strings.Repeat("a", 80) + "...: byte"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := fromBytes(tt.file)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of two lines: %v", err)
			}
		})
	}
}

// Of keys that come twice the last counts, as in safetensors 0.8.0; what that replaced is said.
func TestKeysTwice(t *testing.T) {
	_, arrays := small("F32")
	meta := map[string]string{"format": formatName, "version": "1", "model": "m", "scale": "0.25"}
	file := safetensorsOf(meta, arrays)
	size := binary.LittleEndian.Uint64(file)
	of := regexp.MustCompile(`"layers.2.k":\{[^}]*\}`).Find(file[8 : 8+size])
	for _, r := range [][2]string{
		{`"scale":"0.25"`, `"scale":"4","scale":"0.5","scale":"0.25"`},
		{string(of), strings.Replace(string(of), `"shape":[`, `"shape":[1,`, 1) + "," + string(of)},
	} {
		file = bytes.Replace(file, []byte(r[0]), []byte(r[1]), 1)
		size += uint64(len(r[1]) - len(r[0]))
	}
	binary.LittleEndian.PutUint64(file, size)
	tr, err := fromBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"metadata field scale: comes more than once, 0.5 ignored", "metadata field scale: comes more than once, 4 ignored", "tensor layers.2.k: comes more than once, all but the last ignored"}
	if tr.Attention[0].Scale != 0.25 || !slices.Equal(tr.Unknown, want) {
		t.Errorf("scale %v, ignored %q, want %q", tr.Attention[0].Scale, tr.Unknown, want)
	}
}

// NaN and infinities are found in the rows that are read, and only there.
func TestNotFiniteRefused(t *testing.T) {
	for dtype, patterns := range map[string][]string{
		"F32":  {"\x00\x00\x80\x7f", "\x01\x00\x80\xff", "\x00\x00\xc0\x7f"},
		"F16":  {"\x00\x7c", "\x00\xfc", "\x01\x7e"},
		"BF16": {"\x80\x7f", "\x80\xff", "\xc0\x7f"},
	} {
		for _, pattern := range patterns {
			meta, arrays := small(dtype)
			width := rowBytes[dtype]
			copy(arrays["layers.5.q"].data[width*((1*4+3)*4+2):], pattern) // row 1 is token 3
			copy(arrays["layers.5.v"].data[width*((5*2+1)*4+0):], pattern)
			tr, err := fromBytes(safetensorsOf(meta, arrays))
			if err != nil {
				t.Fatal(err)
			}
			tr.Name = "small"
			checkLayer(t, tr, 2, 6)
			checkLayer(t, tr, 5, 3)
			for tokens, want := range map[int]string{
				4: "trace small: tensor layers.5.q: token 3: head 3: channel 2: ",
				6: "trace small: tensor layers.5.v: token 5: head 1: channel 0: ",
			} {
				if _, err := tr.Read(5, tokens, 0); err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("%s %x: %d tokens: %v, want %q", dtype, pattern, tokens, err, want)
				}
			}
		}
	}
}

// sparse is a file of any size: a header, then zeros. It counts the bytes that are read.
type sparse struct {
	header []byte
	size   int64
	read   int64
}

func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	n := int(min(int64(len(p)), s.size-off))
	clear(p[:n])
	if off < int64(len(s.header)) {
		copy(p[:n], s.header[off:])
	}
	s.read += int64(n)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// big describes 80 layers of 128k tokens, 168 GB, all zero.
func big() *sparse {
	var text strings.Builder
	text.WriteString(`{"__metadata__":{"format":"kvgauge-trace","version":"1","model":"big"}`)
	at := int64(0)
	for layer := range 80 {
		for _, kind := range []string{"q", "k", "v"} {
			heads := int64(8)
			if kind == "q" {
				heads = 48
			}
			n := 131072 * heads * 128 * 2
			fmt.Fprintf(&text, `,"layers.%d.%s":{"dtype":"BF16","shape":[131072,%d,128],"data_offsets":[%d,%d]}`, layer, kind, heads, at, at+n)
			at += n
		}
	}
	header := withHeader(text.String()+"}", nil)
	return &sparse{header: header, size: int64(len(header)) + at}
}

// Reading few rows of a trace far larger than memory reads few bytes and takes little memory.
func TestPartialRead(t *testing.T) {
	file := big()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	tr, err := fromReader(file, file.size)
	if err != nil {
		t.Fatal(err)
	}
	if most := int64(len(file.header)); file.read > most {
		t.Errorf("opening read %d bytes, want the header's %d", file.read, most)
	}
	file.read = 0
	checkLayer(t, tr, 79, 16)
	if want := int64(16 * (48 + 8 + 8) * 128 * 2); file.read != want {
		t.Errorf("16 tokens read %d bytes, want %d", file.read, want)
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 8<<20 {
		t.Errorf("%d bytes of memory taken, want less than 8 MiB", taken)
	}
}

// shrunk is a file that was cut short after it was opened.
type shrunk struct {
	io.ReaderAt
	cut *bool
}

func (s shrunk) ReadAt(p []byte, off int64) (int, error) {
	if *s.cut && off+int64(len(p)) > 1500 {
		return 0, io.EOF
	}
	return s.ReaderAt.ReadAt(p, off)
}

func TestCutShortLater(t *testing.T) {
	meta, arrays := small("F32")
	file := safetensorsOf(meta, arrays)
	cut := false
	tr, err := fromReader(shrunk{bytes.NewReader(file), &cut}, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	cut = true
	if _, err := tr.Read(5, 6, 0); err == nil || !strings.Contains(err.Error(), "tensor layers.5.") || !strings.Contains(err.Error(), "EOF") {
		t.Errorf("error %v, want the tensor and EOF", err)
	}
}

// What opens reads or gives errors, within memory that the file's size bounds. What opens is also a
// file to another reader of the format, as far as that knows its element types.
func FuzzSafetensors(f *testing.F) {
	for dtype := range rowBytes {
		meta, arrays := small(dtype)
		meta["rope_theta"], meta["needles"] = "10000", `[{"layer":2,"kv_head":1,"key":1,"query":5}]`
		arrays["rope_inv_freq"] = array{"F32", []int{2}, make([]byte, 8)}
		f.Add(safetensorsOf(meta, arrays))
		meta, arrays = unequal(dtype)
		meta["rope_theta"], meta["layers"] = "10000", `{"2":{"window":3,"rope_theta":null},"5":{"softcap":30.5}}`
		arrays["layers.2.sinks"], arrays["layers.5.rope_inv_freq"] = floats(1, 2, 3, 4), floats(4, 3, 2, 1)
		f.Add(safetensorsOf(meta, arrays))
		meta, arrays = latents(dtype)
		meta["rope_theta"] = "10000"
		f.Add(safetensorsOf(meta, arrays))
	}
	f.Add(withHeader(`{"layers.0.q":{"dtype":"F32","shape":[1,1,1],"data_offsets":[0,4]}}`, make([]byte, 4)))
	f.Add(binary.LittleEndian.AppendUint64(nil, math.MaxInt64))
	f.Add(withHeader("null", nil))
	f.Add(withHeader(`{"__metadata__":null,"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}`, make([]byte, 8)))
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"))
	f.Add(zipOf(map[string][]byte{"archive/data.pkl": nil}, zip.Store))
	f.Fuzz(func(t *testing.T, file []byte) {
		if c, err := openSafetensors(bytes.NewReader(file), int64(len(file)), func() error { return nil }); err == nil && c.turn() == nil {
			if tr, err := newTrace(c); err == nil { // of rows that lie heads first
				readAll(tr)
			}
		}
		tr, err := fromBytes(file)
		if err != nil {
			return
		}
		readAll(tr)
		if _, _, err := safetensors.ReadMetadata(file); err != nil && !strings.Contains(err.Error(), "dtype") && !strings.Contains(err.Error(), "DType") {
			t.Errorf("another reader: %v", err)
		}
	})
}

// BenchmarkRead reads all layers of a trace of F16 rows.
func BenchmarkRead(b *testing.B) {
	tr := open(b, "smollm2", Options{})
	b.SetBytes(11802536)
	for b.Loop() {
		for _, layer := range tr.Layers {
			if _, err := tr.Read(layer, tr.Tokens, 0); err != nil {
				b.Fatal(err)
			}
		}
	}
}
