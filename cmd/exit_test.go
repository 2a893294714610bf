package cmd

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"kvgauge/sim/record"
)

// TestExit: what was asked for wrongly is 2, everything else that fails is 1, and options get their dashes.
func TestExit(t *testing.T) {
	bad := record.Input(errors.New("layer 3:\nwant more"))
	for _, tt := range []struct {
		name string
		err  error
		left string
		code int
		text string
	}{
		{"done", nil, "", exitOK, ""},
		{"failure", errors.New("no space left"), "", exitFailure, "no space left"},
		{"failure in an option", record.InOption("out", errors.New("no space left")), "", exitFailure, "no space left"},
		{"input", fmt.Errorf("a.safetensors: %w", bad), "", exitUsage, "a.safetensors: layer 3: want more"},
		{"input of an option", record.InOption("trace", bad), "", exitUsage, "--trace: layer 3: want more"},
		{"value of an option", wrong("at-bytes", "x", "want a size ("+record.Opt+"budget)"), "", exitUsage, `--at-bytes "x": want a size (--budget)`},
		{"interrupted", fmt.Errorf("cell 3: %w", context.Canceled), "", exitFailure, "interrupted"},
		{"interrupted with something left", context.Canceled, "2 of 3 cells are kept", exitFailure, "interrupted: 2 of 3 cells are kept"},
		{"failed with something left", errors.New("no space left"), "2 of 3 cells are kept", exitFailure, "no space left: 2 of 3 cells are kept"},
		{"input with something left", bad, "nothing was written", exitUsage, "layer 3: want more"},
	} {
		if code, text := exit(tt.err, tt.left); code != tt.code || text != tt.text {
			t.Errorf("%s: %d %q, want %d %q", tt.name, code, text, tt.code, tt.text)
		}
	}
}
