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
var option = regexp.MustCompile(record.Opt + `([a-z]+(?:-[a-z]+)*)\b`)

// exit classifies what a command returned: its code and, in one line whatever a library put into it, what to say. left is
// what it leaves behind where it ended early; wrong input says what to change, before anything was begun.
func exit(err error, left string) (code int, text string) {
	var input *record.InputError
	switch {
	case err == nil:
		return exitOK, ""
	case errors.Is(err, context.Canceled):
		code, text = exitFailure, "interrupted"
	case errors.As(err, &input):
		code, text, left = exitUsage, err.Error(), ""
	default:
		code, text = exitFailure, err.Error()
	}
	if left != "" {
		text += ": " + left
	}
	return code, strings.Join(strings.Fields(option.ReplaceAllString(text, "--$1")), " ")
}
