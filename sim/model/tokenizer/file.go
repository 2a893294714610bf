package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/dlclark/regexp2"
	"github.com/pkoukk/tiktoken-go"
	"golang.org/x/text/unicode/norm"

	"kvgauge/sim/record"
)

// maxFile bounds a tokenizer.json; that of Gemma 3 has 33 MB.
const maxFile = 256 << 20

// file is a tokenizer.json. What is not named here is not looked at by those who encode: truncation and padding that are
// not null are refused.
type file struct {
	Truncation, Padding json.RawMessage
	AddedTokens         []struct {
		ID         int32
		Content    string
		SingleWord bool `json:"single_word"`
		LStrip     bool
		RStrip     bool
		Normalized bool
	} `json:"added_tokens"`
	Normalizer    *step
	PreTokenizer  *step `json:"pre_tokenizer"`
	PostProcessor *step `json:"post_processor"`
	Model         struct {
		Type         string
		Dropout      *float64
		Prefix       string `json:"continuing_subword_prefix"`
		Suffix       string `json:"end_of_word_suffix"`
		ByteFallback bool   `json:"byte_fallback"`
		IgnoreMerges bool   `json:"ignore_merges"`
		Vocab        map[string]int32
		Merges       []merge
	}
}

// step is a normalizer, a pre-tokenizer or a post-processor, or several in a row.
type step struct {
	Type          string
	Normalizers   []step
	Pretokenizers []step
	Processors    []step

	Pattern          struct{ Regex, String *string }
	Behavior         string
	Invert           bool
	AddPrefixSpace   bool  `json:"add_prefix_space"`
	UseRegex         *bool `json:"use_regex"`
	IndividualDigits bool  `json:"individual_digits"`

	Single        []piece
	SpecialTokens map[string]struct{ IDs []int32 } `json:"special_tokens"`
}

// piece is a part of what a template makes of a text.
type piece struct {
	SpecialToken, Sequence *struct{ ID string }
}

// merge is a pair of tokens that become one: "a b" or ["a", "b"].
type merge [2]string

// UnmarshalJSON reads both forms.
func (m *merge) UnmarshalJSON(text []byte) error {
	var pair []string
	if bytes.HasPrefix(text, []byte(`"`)) {
		var both string
		if err := json.Unmarshal(text, &both); err != nil {
			return err
		}
		pair = strings.Split(both, " ")
	} else {
		_ = json.Unmarshal(text, &pair) // what is none has no two
	}
	if len(pair) != 2 {
		return fmt.Errorf("merge %.80s, want two tokens", text)
	}
	*m = merge(pair)
	return nil
}

// Read reads a tokenizer.json.
func Read(path string) (*Tokenizer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%d bytes, want at most %d", info.Size(), maxFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	return parse(text)
}

// parse is Read of the file's text.
func parse(text []byte) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, record.JSONError(err)
	}
	t := &Tokenizer{words: map[string]int32{}}
	for _, read := range []func(*file) error{t.readModel, t.readAdded, t.readNormalizer, t.readPreTokenizer, t.readPostProcessor} {
		if err := read(&f); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// isNull says whether a field is absent or null.
func isNull(x json.RawMessage) bool { return len(x) == 0 || string(x) == "null" }

// readModel reads the vocabulary and the merges.
func (t *Tokenizer) readModel(f *file) error {
	m := &f.Model
	switch {
	case m.Type != "BPE":
		return fmt.Errorf("model.type %.40q is not read, want byte-level BPE", m.Type)
	case m.ByteFallback:
		return errors.New("model.byte_fallback: true is not read (SentencePiece), want byte-level BPE")
	case m.Prefix != "" || m.Suffix != "":
		return errors.New("model.continuing_subword_prefix or end_of_word_suffix is not read, want byte-level BPE")
	case m.Dropout != nil && *m.Dropout != 0:
		return fmt.Errorf("model.dropout %v, want none", *m.Dropout)
	case !isNull(f.Truncation):
		return errors.New("truncation is not read, want null")
	case !isNull(f.Padding):
		return errors.New("padding is not read, want null")
	}
	ranks := map[string]int{}
	rank := func(token string) error {
		id, ok := m.Vocab[token]
		word, inAlphabet := fromAlphabet(token)
		switch _, again := ranks[word]; {
		case !ok:
			return fmt.Errorf("token %.80q is not in model.vocab", token)
		case !inAlphabet:
			return fmt.Errorf("token %.80q is not made of bytes, want byte-level BPE", token)
		case id < 0:
			return fmt.Errorf("model.vocab: %.80q: id %d, want 0 or more", token, id)
		case !again: // of several pairs that make one token, the first counts
			ranks[word] = len(t.ids)
			t.ids = append(t.ids, id)
		}
		return nil
	}
	for b := range 256 {
		token := string(alphabet[b])
		if _, ok := m.Vocab[token]; ok {
			t.bytes[b] = true
			if err := rank(token); err != nil {
				return err
			}
		}
	}
	for i, pair := range m.Merges {
		for _, token := range []string{pair[0], pair[1], pair[0] + pair[1]} {
			if _, ok := m.Vocab[token]; !ok {
				return fmt.Errorf("model.merges: merge %d: token %.80q is not in model.vocab", i, token)
			}
		}
		if err := rank(pair[0] + pair[1]); err != nil {
			return fmt.Errorf("model.merges: merge %d: %w", i, err)
		}
	}
	if m.IgnoreMerges {
		for token, id := range m.Vocab {
			if word, ok := fromAlphabet(token); ok {
				t.words[word] = id
			}
		}
	}
	core, err := tiktoken.NewCoreBPE(ranks, map[string]int{}, `(?s).+`)
	if err != nil {
		return err
	}
	t.bpe = tiktoken.NewTiktoken(core, nil, nil)
	return nil
}

// readAdded reads the tokens that are cut out of a text.
func (t *Tokenizer) readAdded(f *file) error {
	for _, a := range f.AddedTokens {
		switch {
		case a.Content == "":
			return fmt.Errorf("added_tokens: id %d has no content", a.ID)
		case a.SingleWord:
			return fmt.Errorf("added_tokens: %.80q: single_word is not read, want false", a.Content)
		case a.ID < 0:
			return fmt.Errorf("added_tokens: %.80q: id %d, want 0 or more", a.Content, a.ID)
		}
		list := &t.raw
		if a.Normalized {
			list = &t.normalized
		}
		list.add(addedToken{text: a.Content, id: a.ID, left: a.LStrip, right: a.RStrip})
	}
	return nil
}

// readNormalizer reads the Unicode forms that a text is brought to.
func (t *Tokenizer) readNormalizer(f *file) error { return t.addForms(f.Normalizer) }

func (t *Tokenizer) addForms(s *step) error {
	if s == nil {
		return nil
	}
	forms := map[string]norm.Form{"NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD}
	form, ok := forms[s.Type]
	switch {
	case ok:
		t.forms = append(t.forms, form)
	case s.Type == "Sequence":
		for i := range s.Normalizers {
			if err := t.addForms(&s.Normalizers[i]); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("normalizer %.40q is not read, want NFC, NFD, NFKC, NFKD or none", s.Type)
	}
	return nil
}

// readPreTokenizer reads how a text is cut into words, ending with ByteLevel, which makes the tokenizer one of bytes.
func (t *Tokenizer) readPreTokenizer(f *file) error {
	steps := []step{}
	if s := f.PreTokenizer; s != nil {
		if steps = s.Pretokenizers; s.Type != "Sequence" {
			steps = []step{*s}
		}
	}
	for i := range steps {
		last := i == len(steps)-1
		if byteLevel := steps[i].Type == "ByteLevel"; byteLevel != last {
			return fmt.Errorf("pre_tokenizer: step %d is %.40q, want ByteLevel as the last step and no other", i, steps[i].Type)
		}
		if err := t.addSplit(&steps[i]); err != nil {
			return fmt.Errorf("pre_tokenizer: step %d: %w", i, err)
		}
	}
	if len(steps) == 0 {
		return errors.New("pre_tokenizer: none, want ByteLevel")
	}
	return nil
}

// addSplit adds one step.
func (t *Tokenizer) addSplit(s *step) error {
	pattern, gaps := gpt2, true
	switch {
	case s.Type == "Digits":
		t.splits = append(t.splits, digits(s.IndividualDigits))
		return nil
	case s.Type == "ByteLevel":
		if s.AddPrefixSpace {
			t.splits = append(t.splits, spaced)
		}
		if s.UseRegex != nil && !*s.UseRegex {
			return nil
		}
	case s.Type == "Split":
		switch {
		case s.Pattern.Regex != nil:
			pattern = *s.Pattern.Regex
		case s.Pattern.String != nil:
			pattern = regexp2.Escape(*s.Pattern.String)
		default:
			return errors.New("pattern: want Regex or String")
		}
		switch {
		case s.Behavior == "Isolated" && !s.Invert:
		case s.Behavior == "Removed" && s.Invert:
			gaps = false
		default:
			return fmt.Errorf("behavior %.40q with invert %v is not read, want Isolated, or Removed with invert true", s.Behavior, s.Invert)
		}
	default:
		return fmt.Errorf("%.40q is not read, want ByteLevel, Split or Digits", s.Type)
	}
	split, err := byPattern(pattern, gaps)
	if err != nil {
		return fmt.Errorf("pattern: %w", err)
	}
	t.splits = append(t.splits, split)
	return nil
}

// readPostProcessor reads what is put around a text.
func (t *Tokenizer) readPostProcessor(f *file) error { return t.addAround(f.PostProcessor) }

func (t *Tokenizer) addAround(s *step) error {
	switch {
	case s == nil || s.Type == "ByteLevel":
		return nil
	case s.Type == "Sequence":
		for i := range s.Processors {
			if err := t.addAround(&s.Processors[i]); err != nil {
				return err
			}
		}
		return nil
	case s.Type != "TemplateProcessing":
		return fmt.Errorf("post_processor %.40q is not read, want TemplateProcessing or ByteLevel", s.Type)
	}
	around := &t.before
	for _, p := range s.Single {
		switch {
		case p.Sequence != nil:
			around = &t.after
		case p.SpecialToken != nil:
			x, ok := s.SpecialTokens[p.SpecialToken.ID]
			if !ok {
				return fmt.Errorf("post_processor: %.80q is not in special_tokens", p.SpecialToken.ID)
			}
			*around = append(*around, x.IDs...)
		}
	}
	return nil
}

// alphabet is the characters that stand for bytes in a vocabulary: printable ones for themselves, others from U+0100 on (GPT-2,
// bytes_to_unicode).
var alphabet = func() (runes [256]rune) {
	next := rune(256)
	for b := range runes {
		if b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae {
			runes[b] = rune(b)
			continue
		}
		runes[b] = next
		next++
	}
	return runes
}()

var byteOf = func() map[rune]byte {
	of := map[rune]byte{}
	for b, r := range alphabet {
		of[r] = byte(b)
	}
	return of
}()

// fromAlphabet returns the bytes of a token; ok says whether all its characters stand for one.
func fromAlphabet(token string) (word string, ok bool) {
	b := make([]byte, 0, len(token))
	for _, r := range token {
		c, ok := byteOf[r]
		if !ok {
			return "", false
		}
		b = append(b, c)
	}
	return string(b), len(b) > 0
}
