package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// splitter cuts a text that is not empty into words, in order.
type splitter func(text string, word func(string) error) error

// gpt2 is the pattern of words that ByteLevel has built in (GPT-2, encoder.py).
const gpt2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// byPattern cuts at the matches of a pattern. What is between two of them is a word too, where gaps says so, and left out else.
func byPattern(pattern string, gaps bool) (splitter, error) {
	re, err := regexp2.Compile(pattern, regexp2.None)
	if err != nil {
		return nil, err
	}
	return func(text string, word func(string) error) error {
		runes := []rune(text)
		end := 0
		gap := func(to int) error {
			if gaps && to > end {
				return word(string(runes[end:to]))
			}
			return nil
		}
		m, err := re.FindRunesMatch(runes)
		for ; m != nil && err == nil; m, err = re.FindNextMatch(m) {
			if m.Length == 0 {
				continue
			}
			if err := gap(m.Index); err != nil {
				return err
			}
			end = m.Index + m.Length
			if err := word(string(runes[m.Index:end])); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		return gap(len(runes))
	}, nil
}

// digits cuts at numbers: each digit is a word, or each row of them.
func digits(each bool) splitter {
	return func(text string, word func(string) error) error {
		for text != "" {
			first, n := utf8.DecodeRuneInString(text)
			number := unicode.IsNumber(first)
			if !number || !each {
				if n = strings.IndexFunc(text, func(r rune) bool { return unicode.IsNumber(r) != number }); n < 0 {
					n = len(text)
				}
			}
			if err := word(text[:n]); err != nil {
				return err
			}
			text = text[n:]
		}
		return nil
	}
}

// spaced puts a space before a text that has none there.
func spaced(text string, word func(string) error) error {
	if !strings.HasPrefix(text, " ") {
		text = " " + text
	}
	return word(text)
}
