package tokenizer

import (
	"slices"
	"strings"
	"unicode"
)

// addedToken is a text that is a token wherever it stands.
type addedToken struct {
	text        string
	id          int32
	left, right bool // the white space before, and behind, belongs to it
}

// added are such tokens by their first byte, longest first.
type added [256][]addedToken

// add adds a token.
func (a *added) add(x addedToken) {
	list := &a[x.text[0]]
	*list = append(*list, x)
	slices.SortStableFunc(*list, func(x, y addedToken) int { return len(y.text) - len(x.text) })
}

// cut appends the ids of the tokens in a text, the leftmost and of these the longest, and hands what is between to rest, in order.
// White space that belongs to one token may begin the next.
func (a *added) cut(text string, ids *[]int32, rest func(string) error) error {
	for from, at := 0, 0; ; {
		x := a.next(text, &at)
		if x == nil {
			return rest(text[from:])
		}
		before := text[from:max(from, at)]
		if x.left {
			before = strings.TrimRightFunc(before, unicode.IsSpace)
		}
		if before != "" {
			if err := rest(before); err != nil {
				return err
			}
		}
		*ids = append(*ids, x.id)
		at += len(x.text)
		from = max(from, at)
		if x.right {
			from = len(text) - len(strings.TrimLeftFunc(text[from:], unicode.IsSpace))
		}
	}
}

// next moves at to the next token; nil where there is none.
func (a *added) next(text string, at *int) *addedToken {
	for ; *at < len(text); *at++ {
		for i, x := range a[text[*at]] {
			if strings.HasPrefix(text[*at:], x.text) {
				return &a[text[*at]][i]
			}
		}
	}
	return nil
}
