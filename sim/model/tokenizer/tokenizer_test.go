package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// files are the tiny tokenizers, with the ids that the library of such files gives (make.py there).
const files = "../../../testdata/tokenizers"

// TestAgainstLibrary holds every string against the ids of the library.
func TestAgainstLibrary(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(files, "strings.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Strings []string
		IDs     map[string][][]int32
	}
	if err := json.Unmarshal(text, &want); err != nil || len(want.IDs) < 6 {
		t.Fatal(len(want.IDs), err)
	}
	for name, lists := range want.IDs {
		tok, err := Read(filepath.Join(files, name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range want.Strings {
			ids, err := tok.Encode([]byte(s))
			if err != nil || !slices.Equal(ids, lists[i]) {
				t.Errorf("%s: %q: %v (%v), want %v", name, s, ids, err, lists[i])
			}
		}
	}
}

// TestRefused changes a tokenizer so that ids would be others.
func TestRefused(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(files, "gpt2.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"type":"BPE"`, `"type":"Unigram"`, `model.type "Unigram" is not read, want byte-level BPE`},
		{`"byte_fallback":false`, `"byte_fallback":true`, `model.byte_fallback: true is not read`},
		{`"dropout":null`, `"dropout":0.1`, `model.dropout 0.1`},
		{`"truncation":null`, `"truncation":{"max_length":5}`, `truncation is not read`},
		{`"normalizer":null`, `"normalizer":{"type":"Prepend","prepend":"x"}`, `normalizer "Prepend" is not read`},
		{`"pre_tokenizer":{"type":"ByteLevel"`, `"pre_tokenizer":{"type":"Metaspace"`, `pre_tokenizer: step 0 is "Metaspace", want ByteLevel`},
		{`"pre_tokenizer":{"type":"ByteLevel"`, `"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Whitespace"},{"type":"ByteLevel"}]`, `step 0: "Whitespace" is not read`},
		{`"post_processor":null`, `"post_processor":{"type":"BertProcessing"}`, `post_processor "BertProcessing" is not read`},
		{`"single_word":false`, `"single_word":true`, `single_word is not read`},
		{`"merges":[[`, `"merges":[["zzzz","y"],[`, `merge 0: token "zzzz" is not in model.vocab`},
		{`"merges":[[`, `"merges":[["a"],[`, `want two tokens`},
		{`"version"`, `"version`, `invalid character`},
	} {
		changed := strings.Replace(string(text), c.old, c.new, 1)
		if changed == string(text) {
			t.Errorf("no %s in the file", c.old)
		}
		_, err := parse([]byte(changed))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want %s", c.new, err, c.want)
		}
	}
}

// TestEncodeRefuses refuses texts that have no ids.
func TestEncodeRefuses(t *testing.T) {
	tok, err := Read(filepath.Join(files, "gpt2.json"))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"abc\xff":                      "byte 3: not UTF-8",
		strings.Repeat("a", maxWord+1): "a word of 32769 bytes",
	} {
		if _, err := tok.Encode([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	tok.bytes['z'] = false
	if _, err := tok.Encode([]byte("xyz")); err == nil || !strings.Contains(err.Error(), "byte 0x7a") {
		t.Errorf("error %v", err)
	}
	if _, err := Read(files); err == nil || err.Error() != "not a regular file" {
		t.Errorf("error %v", err)
	}
	if _, err := Read("nowhere.json"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error %v", err)
	}
}

// FuzzTokenizer: a file is refused in one line, or makes ids of a text without a panic.
func FuzzTokenizer(f *testing.F) {
	for _, name := range []string{"gpt2", "digits", "llama3", "qwen", "gaps"} {
		text, err := os.ReadFile(filepath.Join(files, name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "a1 <|im_end|> b")
	}
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0}},"pre_tokenizer":{"type":"ByteLevel"}}`), "aab")
	f.Fuzz(func(t *testing.T, file []byte, text string) {
		tok, err := parse(file)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q", err)
			}
			return
		}
		if len(text) < 200 {
			_, _ = tok.Encode([]byte(text))
		}
	})
}
