package record

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/agnivade/levenshtein"
	"github.com/dustin/go-humanize/english"
)

// InputError is an error of what was asked for or given: an option, a file, a record. It is marked where it is
// made; everything else that goes wrong is a failure.
type InputError struct {
	Option string // the option at fault, as a word: lengths; empty where the error names a file or field itself
	Value  string // the part of the option's value that is at fault; may be empty
	Err    error
}

// Opt stands before the name of an option in the texts of errors: how an option is written is the command line's affair.
// The space within it is one that nobody types, so that it is told from what users wrote.
const Opt = "option\u00a0"

// Error is the option, its value and what was expected.
func (e *InputError) Error() string {
	text := e.Err.Error()
	switch {
	case e.Option == "":
		return text
	case e.Value != "":
		return Opt + e.Option + " " + e.Value + ": " + text
	}
	return Opt + e.Option + ": " + text
}

// Unwrap is what was expected.
func (e *InputError) Unwrap() error { return e.Err }

// Input marks an error as one of the input, where it is none yet.
func Input(err error) error {
	if in := (*InputError)(nil); err == nil || errors.As(err, &in) {
		return err
	}
	return &InputError{Err: err}
}

// inputf is fmt.Errorf for an error of the input.
func inputf(format string, args ...any) error { return Input(fmt.Errorf(format, args...)) }

// InOption marks an input error as one of an option; other errors stay what they are.
func InOption(option string, err error) error {
	if in := (*InputError)(nil); errors.As(err, &in) && in.Option == "" {
		return &InputError{Option: option, Err: err}
	}
	return err
}

// InPath marks an error of the file system as one of the option whose path it met; a disk that is full or fails is a
// failure there.
func InPath(option string, err error) error {
	in := (*InputError)(nil)
	switch {
	case err == nil, errors.As(err, &in):
		return InOption(option, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EIO):
		return fmt.Errorf(Opt+"%s: %w", option, err)
	}
	return &InputError{Option: option, Err: err}
}

// Nearest returns the known name that an unknown one was most likely meant to be, by edit distance, or else the first that
// it begins, or "" where none is near.
func Nearest(name string, known []string) string {
	most := max(2, len(name)/3)
	if len(name) < 4 {
		most = 1 // two letters of three are another word
	}
	best, least := "", most+1
	for _, n := range known {
		if d := levenshtein.ComputeDistance(name, n); d < least {
			best, least = n, d
		}
	}
	if i := slices.IndexFunc(known, func(n string) bool { return strings.HasPrefix(n, name) }); best == "" && i >= 0 && len(name) > 1 {
		return known[i]
	}
	return best
}

// DidYouMean offers the nearest known name, where one is near: it ends the refusal of another.
func DidYouMean(name string, known []string) string {
	if n := Nearest(name, known); n != "" {
		return ", did you mean " + n + "?"
	}
	return ""
}

// Count writes how many there are of what one word names, or several others do: 1 cell, 2048 cells. With no word for several
// it is that of one with an s, as English has it.
func Count(n int, one, several string) string {
	return fmt.Sprintf("%d %s", n, english.PluralWord(n, one, several))
}
