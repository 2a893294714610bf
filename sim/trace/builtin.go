package trace

import (
	"embed"
	"io"
	"slices"
)

// The traces that come with the program; builtin_test.go holds their hashes.
//
//go:embed builtin/*.safetensors
var builtinFiles embed.FS

// Builtin is an embedded trace of a real model.
type Builtin struct {
	Name    string
	Summary string // model, layers held, heads, tokens and text, on one line

	file  string // the trace
	calib string // another text through the same model, to fit maps on
}

var builtins = []Builtin{
	{
		"smollm2",
		"SmolLM2-135M-Instruct: layers 0 1 14 15 28 29 of 30, 9 heads on 3 KV heads of 64, 1024 tokens: a document, a question about it and its answer",
		"smollm2-1024", "smollm2-calib-512",
	},
	{
		"bytelm",
		"bytelm, a byte model of Go sources: all 6 layers, 8 heads of 32, 1024 tokens: the comments of os/exec/exec.go",
		"bytelm-1024", "bytelm-calib-512",
	},
	{
		"stories260k",
		"stories260k: all 5 layers, 8 heads on 4 KV heads of 8, 512 tokens: a children's story",
		"stories260k-512", "stories260k-calib-448",
	},
}

// Builtins returns the embedded traces. Each has a companion, see Companion.
func Builtins() []Builtin { return slices.Clone(builtins) }

// companionSuffix makes the name of a built-in trace's companion.
const companionSuffix = "-calib"

// Companion returns the name of the trace that maps for a built-in trace are fitted on: another text
// through the same model, with the queries of its last tokens only.
func Companion(name string) (string, bool) {
	if IsSynth(name) {
		c := synthCompanion(name)
		return c, c != ""
	}
	for _, b := range builtins {
		if b.Name == name {
			return name + companionSuffix, true
		}
	}
	return "", false
}

// builtinNames returns all names that openBuiltin knows.
func builtinNames() []string {
	var names []string
	for _, b := range builtins {
		names = append(names, b.Name, b.Name+companionSuffix)
	}
	return names
}

// openBuiltin opens an embedded trace or companion; ok is false where there is none of that name.
func openBuiltin(name string) (c *container, ok bool, err error) {
	for _, b := range builtins {
		switch name {
		case b.Name:
			c, err = openEmbedded(b.file)
			return c, true, err
		case b.Name + companionSuffix:
			c, err = openEmbedded(b.calib)
			return c, true, err
		}
	}
	return nil, false, nil
}

func openEmbedded(file string) (*container, error) {
	f, err := builtinFiles.Open("builtin/" + file + ".safetensors")
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	c, err := openSafetensors(f.(io.ReaderAt), info.Size(), f.Close) // embed documents ReaderAt
	if err == nil {
		c.embedded = info.Size()
	}
	return c, err
}
