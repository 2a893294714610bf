package cmd

import (
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReadmeCommands parses every kvgauge command of the README: the subcommand exists, and so do its flags.
func TestReadmeCommands(t *testing.T) {
	checked := 0
	for line := range strings.Lines(readFile(t, filepath.Join("..", "README.md"))) {
		line, _, _ = strings.Cut(line, " # ")
		line, _, _ = strings.Cut(line, " > ")
		words := strings.Fields(line)
		switch {
		case len(words) > 4 && words[0] == "$" && strings.Join(words[1:4], " ") == "go run .":
			words = words[4:]
		case len(words) > 2 && words[0] == "$" && words[1] == "./kvgauge":
			words = words[2:]
		default:
			continue
		}
		root := newRoot(&system{out: io.Discard, err: io.Discard, now: time.Now})
		root.InitDefaultCompletionCmd()
		c, rest, err := root.Find(words)
		if err == nil {
			err = c.ParseFlags(rest)
		}
		if err == nil && !c.Runnable() {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			err = c.ValidateArgs(c.Flags().Args())
		}
		if err != nil {
			t.Errorf("%s: %v", strings.TrimSpace(line), err)
		}
		checked++
	}
	if checked < 8 {
		t.Errorf("%d commands found", checked)
	}
}
