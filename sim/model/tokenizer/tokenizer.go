// Package tokenizer makes token ids of text as the byte-level BPE of a tokenizer.json of Hugging Face says, for the models
// that package model runs.
//
// Read (file.go) checks all of the file that changes ids and refuses by name what is not known, other kinds of tokenizers
// among it: their texts come as ids. Encode goes the way of the library that the file belongs to: added tokens are cut out
// (added.go), the text between is normalised and cut into words (split.go), and each word's bytes are merged. Chat (chat.go) makes
// a conversation of a text. Merging is
// github.com/pkoukk/tiktoken-go, which takes ranks for ids: it is given the order of the merges, and what comes back is
// looked up.
package tokenizer

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/pkoukk/tiktoken-go"
	"golang.org/x/text/unicode/norm"
)

// Tokenizer is a tokenizer.json.
type Tokenizer struct {
	before, after []int32 // what stands around a text
	raw           added   // tokens that are cut out of the text as it is
	normalized    added   // and those of the normalised text
	forms         []norm.Form
	splits        []splitter

	bpe   *tiktoken.Tiktoken
	ids   []int32          // of what bpe calls them
	words map[string]int32 // that are tokens before anything is merged
	bytes [256]bool        // that are tokens
}

// maxWord is the longest word, in bytes, that is merged: the time for it grows with the square.
const maxWord = 1 << 15

// Encode returns the ids of a text, with those that the tokenizer puts around it.
func (t *Tokenizer) Encode(text []byte) ([]int32, error) {
	ids, err := t.EncodeChat(text)
	return slices.Concat(t.before, ids, t.after), err
}

// EncodeChat returns the ids of a text that has all of its special tokens, as Chat makes it.
func (t *Tokenizer) EncodeChat(text []byte) ([]int32, error) {
	if at := invalid(text); at >= 0 {
		return nil, fmt.Errorf("byte %d: not UTF-8", at)
	}
	var ids []int32
	err := t.raw.cut(string(text), &ids, func(text string) error {
		for _, f := range t.forms {
			text = f.String(text)
		}
		return t.normalized.cut(text, &ids, func(text string) error {
			return t.split(text, t.splits, &ids)
		})
	})
	return ids, err
}

// invalid returns the first byte that is not UTF-8, -1 where all is.
func invalid(text []byte) int {
	for at := 0; at < len(text); {
		r, n := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && n <= 1 {
			return at
		}
		at += n
	}
	return -1
}

// split cuts a text into words and appends their ids.
func (t *Tokenizer) split(text string, splits []splitter, ids *[]int32) error {
	if text == "" {
		return nil
	}
	if len(splits) == 0 {
		return t.merge(text, ids)
	}
	return splits[0](text, func(word string) error { return t.split(word, splits[1:], ids) })
}

// merge appends the ids of a word.
func (t *Tokenizer) merge(word string, ids *[]int32) error {
	if id, ok := t.words[word]; ok {
		*ids = append(*ids, id)
		return nil
	}
	if len(word) > maxWord {
		return fmt.Errorf("a word of %d bytes, want at most %d, at %q", len(word), maxWord, word[:20])
	}
	for i := range len(word) {
		if !t.bytes[word[i]] {
			return fmt.Errorf("byte %#02x of %q is no token of tokenizer.json", word[i], word)
		}
	}
	for _, rank := range t.bpe.EncodeOrdinary(word) {
		*ids = append(*ids, t.ids[rank])
	}
	return nil
}
