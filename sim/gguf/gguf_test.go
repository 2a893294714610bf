package gguf

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kvgauge/sim/arch"
)

// pair is a value of a file: a number of a type, a text, or an array.
type pair struct {
	key   string
	value any
}

// file writes a header, with tensors of one dimension at the offsets given.
func file(values []pair, offsets ...uint64) []byte {
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	text := func(s string) {
		put(uint64(len(s)))
		b.WriteString(s)
	}
	b.WriteString(Magic)
	put(uint32(3))
	put(uint64(len(offsets)))
	put(uint64(len(values)))
	for _, v := range values {
		text(v.key)
		switch x := v.value.(type) {
		case string:
			put(uint32(typeText))
			text(x)
		case uint32:
			put(uint32(4))
			put(x)
		case uint16:
			put(uint32(2))
			put(x)
		case uint64:
			put(uint32(10))
			put(x)
		case []uint64:
			put(uint32(typeArray))
			put(uint32(10))
			put(uint64(len(x)))
			put(x)
		case bool:
			put(uint32(typeBool))
			put(x)
		case float32:
			put(uint32(typeFloat))
			put(x)
		case []int32:
			put(uint32(typeArray))
			put(uint32(5))
			put(uint64(len(x)))
			put(x)
		case []string:
			put(uint32(typeArray))
			put(uint32(typeText))
			put(uint64(len(x)))
			for _, s := range x {
				text(s)
			}
		}
	}
	for _, at := range offsets {
		text("t")
		put(uint32(1))
		put(uint64(8))
		put(uint32(0))
		put(at)
	}
	return b.Bytes()
}

// llama is the header of a small llama.
func llama(more ...pair) []pair {
	return append([]pair{
		{"general.architecture", "llama"},
		{"llama.block_count", uint32(3)},
		{"llama.embedding_length", uint32(64)},
		{"llama.context_length", uint32(512)},
		{"llama.attention.head_count", uint32(4)},
		{"tokenizer.ggml.tokens", []string{"a", "", "b"}},
		{"llama.rope.freq_base", float32(1e4)},
	}, more...)
}

func read(b []byte) (arch.Model, string, error) {
	h, err := Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return arch.Model{}, "", err
	}
	return Model(h)
}

// TestModels reads headers, some of files that gguf 0.19 wrote, and counts bytes of a cache in f16.
func TestModels(t *testing.T) {
	tests := []struct {
		name   string
		values []pair // nil: testdata
		tokens int
		want   int64
	}{
		{"gemma3", nil, 4096, 256 * (4096 + 7*1023)},
		{"deepseek2", nil, 100, 4 * 192 * 2 * 100},
		{"as many KV heads as heads", llama(), 10, 3 * 2 * 64 * 2 * 10},
		{"KV heads", llama(pair{"llama.attention.head_count_kv", uint32(2)}), 10, 3 * 64 * 2 * 10},
		{"KV heads by layer", llama(pair{"llama.attention.head_count_kv", []int32{1, 0, 2}}), 10, 3 * 2 * 16 * 2 * 10},
		{"widths", llama(pair{"llama.attention.key_length", uint32(24)}, pair{"llama.attention.value_length", uint32(8)}), 10, 3 * 4 * 32 * 2 * 10},
	}
	for _, tt := range tests {
		b := file(tt.values)
		if tt.values == nil {
			var err error
			if b, err = os.ReadFile(filepath.Join("testdata", tt.name+".gguf")); err != nil {
				t.Fatal(err)
			}
		}
		m, note, err := read(b)
		if err != nil || note != "" {
			t.Errorf("%s: %v, note %q", tt.name, err, note)
			continue
		}
		if got := m.Bytes(tt.tokens, 0, 2); got != tt.want {
			t.Errorf("%s: %d bytes, want %d", tt.name, got, tt.want)
		}
	}
}

// TestWindowIsNotLeftOutInSilence of an architecture whose graph has none.
func TestWindowIsNotLeftOutInSilence(t *testing.T) {
	m, note, err := read(file(llama(pair{"llama.attention.sliding_window", uint32(128)})))
	if err != nil || !strings.Contains(note, "128 tokens") || m.Layers[0].Window != 0 {
		t.Errorf("%v, note %q, window %d", err, note, m.Layers[0].Window)
	}
}

// TestData: the bytes of tensors are those behind the header where all are there, and else the header says why not.
func TestData(t *testing.T) {
	whole := file(llama(), 0, 64) // the tensors are 32 bytes each
	start := (len(whole) + 31) / 32 * 32
	for _, tt := range []struct {
		name  string
		file  []byte
		size  int
		data  int64
		lacks string
	}{
		{"a header alone", whole, len(whole), 0, "a header without its tensors"},
		{"padding behind it", whole, start, 0, "a header without its tensors"},
		{"the second tensor missing", whole, start + 64, 0, "the file is cut short: its tensors take 96 bytes, and it holds 64 of them"},
		{"the last byte missing", whole, start + 95, 0, "and it holds 95 of them"},
		{"all", whole, start + 96, 96, ""},
		{"padded", whole, start + 128, 128, ""},
		{"no tensors", file(llama()), 1 << 12, 0, "no tensors"},
		{"one of two files", file(llama(pair{"split.count", uint16(2)}), 0), 1 << 12, 0, "one of 2 that the model is cut into"},
	} {
		b := append(bytes.Clone(tt.file), make([]byte, tt.size-len(tt.file))...)
		h, err := Read(bytes.NewReader(b), int64(tt.size))
		if err != nil || h.Data != tt.data || !strings.Contains(h.Lacks, tt.lacks) || (h.Lacks == "") != (tt.lacks == "") {
			t.Errorf("%s: %d bytes of tensors, %q, %v, want %d, %q", tt.name, h.Data, h.Lacks, err, tt.data, tt.lacks)
		}
	}
}

// TestTensorBytes: rows of 256 elements, by the block of the type.
func TestTensorBytes(t *testing.T) {
	for kind, want := range map[uint64]uint64{0: 1024, 1: 512, 2: 144, 8: 272, 12: 144, 14: 210, 30: 512, 39: 136, 99: 1} {
		if got := tensorBytes(kind, 256); got != want {
			t.Errorf("type %d: %d bytes, want %d", kind, got, want)
		}
	}
}

// TestRefused wants one line that names what is wrong.
func TestRefused(t *testing.T) {
	whole := file(llama())
	change := func(at int, to ...byte) []byte {
		b := bytes.Clone(whole)
		copy(b[at:], to)
		return b
	}
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "byte 0: the file ends within its header: 4 bytes to come, and 0 bytes are left"},
		{"another magic", change(0, 'G', 'G', 'M', 'L'), `"GGML", want GGUF`},
		{"version", change(4, 9), "version 9, want 2 or 3"},
		{"more values than bytes", change(16, 255, 255, 255, 255, 255, 255, 255, 255), "the file ends within its header: 0 tensors and 18446744073709551615 values to come"},
		{"more tensors than bytes", change(8, 255, 255, 255, 255, 255, 255, 255, 127), "the file ends within its header: 9223372036854775807 tensors and 7 values"},
		{"cut", whole[:len(whole)-3], "the file ends within its header"},
		{"cut in a name", whole[:115], "byte 110: name of a value: the file ends within its header: 22 bytes to come, and 5 bytes are left"},
		{"cut in an array", file([]pair{{"a", []int32{1, 2}}})[:50], "\"a\": the file ends within its header: an array of 2 elements to come, and 1 byte is left"},
		{"cut in a tensor", file(llama(), 0)[:len(file(llama(), 0))-1], "tensors: \"t\": the file ends within its header"},
		{"long name", change(24, 0, 0, 2, 0), "bytes, want at most"},
		{"no architecture", file(nil), "general.architecture: missing"},
		{"unknown architecture", file([]pair{{"general.architecture", "llamma"}}), "the nearest is llama"},
		{"states", file([]pair{{"general.architecture", "mamba"}}), "give its config.json"},
		{"twice", file(llama(pair{"llama.block_count", uint32(4)})), "it stands there twice"},
		{"no layers", file(llama()[:1]), "llama.block_count: missing, want an integer"},
		{"too many heads", file(llama(pair{"llama.attention.head_count_kv", uint32(1 << 20)})), "llama.attention.head_count_kv: 1048576, want an integer from 1 to 65536"},
		{"few numbers", file(llama(pair{"llama.attention.head_count_kv", []int32{1, 2}})), "llama.attention.head_count_kv: 2 numbers, want one for each of 3 layers"},
		{"negative", file(llama(pair{"llama.attention.head_count_kv", []int32{1, 2, -1}})), "-1, want an integer from 0"},
		{"a text", file(llama(pair{"llama.attention.key_length", "64"})), `llama.attention.key_length: the text "64", want an integer from 1`},
		{"a float", file(llama(pair{"llama.attention.key_length", float32(64)})), "llama.attention.key_length: the float 64, want an integer from 1"},
		{"a bool", file(llama(pair{"llama.attention.key_length", true})), "llama.attention.key_length: the bool true, want an integer from 1"},
		{"an array", file(llama(pair{"llama.attention.key_length", []int32{64}})), "llama.attention.key_length: an array of 1 numbers, want an integer"},
		{"texts", file(llama(pair{"llama.attention.head_count_kv", []string{"2"}})), "llama.attention.head_count_kv: an array of texts, want an integer"},
		{"a long array", file(llama(pair{"llama.attention.head_count_kv", make([]int32, maxArray+1)})), "llama.attention.head_count_kv: an array of 16385 numbers, want an integer"},
		{"the largest number", file(llama(pair{"llama.attention.key_length", uint64(math.MaxUint64)})), "llama.attention.key_length: 18446744073709551615, want an integer"},
		{"the largest number in an array", file(llama(pair{"a", []uint64{1, math.MaxUint64}})), "element 1: 18446744073709551615, want at most"},
		{"architecture of another type", file([]pair{{"general.architecture", uint32(7)}}), "general.architecture: 7, want the name"},
		{"alignment of another type", file(llama(pair{"general.alignment", "32"}), 0), `general.alignment: the text "32", want an integer`},
		{"pattern of another type", file([]pair{
			{"general.architecture", "gemma2"},
			{"gemma2.block_count", uint32(2)},
			{"gemma2.embedding_length", uint32(64)},
			{"gemma2.context_length", uint32(64)},
			{"gemma2.attention.head_count", uint32(4)},
			{"gemma2.attention.sliding_window_pattern", "LG"},
		}), `gemma2.attention.sliding_window_pattern: the text "LG", want an integer`},
		{"KV heads that do not divide", file(llama(pair{"llama.attention.head_count_kv", uint32(3)})), "llama.attention.head_count_kv: 3, want a divisor of the 4 query heads of layer 0"},
		{"more KV heads than heads", file(llama(pair{"llama.attention.head_count_kv", []int32{4, 8, 4}})), "llama.attention.head_count_kv: 8, want a divisor of the 4 query heads of layer 1"},
		{"alignment", file(llama(pair{"general.alignment", uint32(0)}), 0), "general.alignment: 0, want"},
		{"wide rows", file(append(llama()[:4], pair{"llama.attention.head_count", uint32(1 << 16)}, pair{"llama.attention.key_length", uint32(1 << 20)},
			pair{"llama.attention.value_length", uint32(1)})), "elements a token"},
	}
	for _, tt := range tests {
		_, _, err := read(tt.file)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzRead wants no panic, and no figure that cannot be: bytes are never negative.
func FuzzRead(f *testing.F) {
	f.Add(file(nil))
	f.Add(file(llama(pair{"llama.attention.head_count_kv", []int32{1, 0, 2}}, pair{"a", true}), 0, 32))
	for _, name := range []string{"gemma3", "deepseek2"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".gguf"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, _, err := read(b)
		if err != nil {
			return
		}
		if n := m.Bytes(1<<20, 0, 4); n < 0 {
			t.Errorf("%d bytes", n)
		}
	})
}
