package record

import (
	"errors"
	"fmt"

	"github.com/agnivade/levenshtein"
)

// InputError is an error of what was asked for or given: an option, a file, a record. It is marked where it is
// made; everything else that goes wrong is a failure. Texts name an option by the word, behind "option ": how it is
// written is the command line's affair.
type InputError struct {
	Option string // the option at fault, as a word: lengths; empty where the error names a file or field itself
	Value  string // the part of the option's value that is at fault; may be empty
	Err    error
}

// Error is the option, its value and what was expected.
func (e *InputError) Error() string {
	text := e.Err.Error()
	switch {
	case e.Option == "":
		return text
	case e.Value != "":
		return "option " + e.Option + " " + e.Value + ": " + text
	}
	return "option " + e.Option + ": " + text
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

// Nearest returns the known name that an unknown one was most likely meant to be, by edit distance, or "" where none is
// near.
func Nearest(name string, known []string) string {
	best, least := "", max(2, len(name)/3)+1
	for _, n := range known {
		if d := levenshtein.ComputeDistance(name, n); d < least {
			best, least = n, d
		}
	}
	return best
}
