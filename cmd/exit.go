package cmd

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"kvgauge/sim/record"
)

// Exit codes of the program.
const (
	exitOK      = 0
	exitFailure = 1 // a gate, a cell that failed, an interruption, or whatever is no wrong usage
	exitUsage   = 2 // wrong usage or unreadable input
)

// option matches the name of an option as other packages write it.
var option = regexp.MustCompile(`\boption ([a-z]+(?:-[a-z]+)*)\b`)

// unfinished is the error of a command that ended early, with what it leaves behind.
type unfinished struct {
	error
	left string
}

func (u unfinished) Error() string { return u.error.Error() + ": " + u.left }

func (u unfinished) Unwrap() error { return u.error }

// exit classifies what a command returned: its code and, in one line whatever a library put into it, what to say.
func exit(err error) (code int, text string) {
	var early unfinished
	var input *record.InputError
	switch {
	case err == nil:
		return exitOK, ""
	case errors.Is(err, context.Canceled):
		code, text = exitFailure, "interrupted"
		if errors.As(err, &early) {
			text += ": " + early.left
		}
	case errors.As(err, &input):
		code, text = exitUsage, err.Error()
		if errors.As(err, &early) {
			text = early.error.Error() // it says what to change: nothing was begun
		}
	default:
		code, text = exitFailure, err.Error()
	}
	return code, option.ReplaceAllString(strings.Join(strings.Fields(text), " "), "--$1")
}
