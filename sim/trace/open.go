package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kvgauge/sim/record"
)

// Options are what Open must know beside the name: of traces that are made, and of files that are laid out otherwise.
type Options struct {
	Seed   uint64 // of a synthetic trace's content
	Tokens int    // a synthetic trace grows to hold so many

	HeadsFirst bool // the rows of a file lie [heads, tokens, channels]
}

// Open opens a built-in trace by its name, the synthetic trace (synth, synth:key=value,...), a .safetensors
// or .npz file, or a folder of .npy files. Names come first: a file called smollm2 is ./smollm2. Everything
// but the values of q, k and v is checked here; Read checks those.
func Open(spec string, o Options) (t *Trace, err error) {
	defer func() { err = record.Input(err) }()
	if IsSynth(spec) {
		return openSynth(spec, o)
	}
	name := spec
	c, ok, err := openBuiltin(spec)
	if !ok {
		info, statErr := os.Stat(spec)
		if errors.Is(statErr, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: no such file or built-in trace%s (kvgauge list traces)%s", printable(spec), record.DidYouMean(spec, append(builtinNames(), "synth")), modelHint(spec))
		}
		if statErr != nil {
			return nil, within("trace", spec, cause(statErr))
		}
		name = baseName(spec)
		c, err = openPath(spec, name, info)
	}
	if err != nil {
		return nil, within("trace", spec, err)
	}
	if o.HeadsFirst {
		err = c.turn()
	}
	if err == nil {
		t, err = newTrace(c)
	}
	if err != nil {
		_ = c.close() // only read
		if c.meta["format"] != formatName {
			err = fmt.Errorf("%w%s", err, modelHint(spec))
		}
		return nil, within("trace", spec, err)
	}
	t.Name = name
	return t, nil
}

// IsSynth says whether a name is that of a synthetic trace, whose content follows from a seed.
func IsSynth(spec string) bool { return spec == "synth" || strings.HasPrefix(spec, "synth:") }

// openPath opens a file or folder for the trace called name.
func openPath(path, name string, info fs.FileInfo) (*container, error) {
	ext := strings.ToLower(filepath.Ext(path))
	switch {
	case info.IsDir():
		return openFolder(path, name)
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case ext == npyExt:
		return nil, errors.New("one array, want the folder of the npy files, an npz or a safetensors file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	var c *container
	if ext == npzExt {
		c, err = openNPZ(f, info.Size(), name, f.Close)
	} else {
		c, err = openSafetensors(f, info.Size(), f.Close)
	}
	if err != nil {
		_ = f.Close() // only read
		return nil, err
	}
	return c, nil
}

// baseName is what tables call a file or folder.
func baseName(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	name := filepath.Base(path)
	switch ext := filepath.Ext(name); strings.ToLower(ext) {
	case safetensorsExt, npzExt:
		return strings.TrimSuffix(name, ext)
	}
	return name
}

// cause takes away the path that os adds to its errors: the callers name it once.
func cause(err error) error {
	switch e := err.(type) {
	case *fs.PathError:
		return e.Err
	case *os.LinkError:
		return e.Err
	}
	return err
}
