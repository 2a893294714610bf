package sim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kvgauge/sim/arch"
	"kvgauge/sim/gguf"
	"kvgauge/sim/method"
	"kvgauge/sim/record"
)

// maxConfig bounds a configuration, in bytes: the largest that are published have some hundred kilobytes.
const maxConfig = 16 << 20

// ModelFile is a model as a file describes it.
type ModelFile struct {
	arch.Model
	Name    string
	Weights int64  // bytes of its weights; 0 where the file does not say
	Note    string // what of the file is left out; empty: nothing
}

// OpenModel reads a model: a configuration in Hugging Face's form, a folder with its config.json, the header of a GGUF
// file, or a preset.
func OpenModel(name string) (ModelFile, error) {
	m, err := openModel(name)
	if err != nil {
		return m, record.Input(err)
	}
	return m, nil
}

func openModel(name string) (ModelFile, error) {
	info, err := os.Stat(name)
	path := name
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return preset(name)
	case err != nil:
		return ModelFile{}, fmt.Errorf("%s: %w", name, errors.Unwrap(err))
	case info.IsDir():
		path = filepath.Join(name, "config.json")
	case !info.Mode().IsRegular():
		return ModelFile{}, fmt.Errorf("%s: not a regular file", name)
	}
	f, err := os.Open(path)
	if err != nil {
		return ModelFile{}, fmt.Errorf("%s: want a configuration, a folder with config.json or a GGUF file: %w", path, errors.Unwrap(err))
	}
	defer f.Close()
	base := strings.TrimSuffix(filepath.Base(filepath.Clean(name)), ".json")
	if abs, err := filepath.Abs(path); err == nil && (base == "config" || base == "." || base == "..") {
		base = filepath.Base(filepath.Dir(abs))
	}
	if first := make([]byte, len(gguf.Magic)); !info.IsDir() {
		if n, _ := f.ReadAt(first, 0); string(first[:n]) == gguf.Magic {
			return openGGUF(f, strings.TrimSuffix(filepath.Base(path), ".gguf"), info.Size())
		}
	}
	config, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	switch {
	case err != nil:
		return ModelFile{}, fmt.Errorf("%s: %w", path, err)
	case len(config) > maxConfig:
		return ModelFile{}, fmt.Errorf("%s: more than %d MiB, want a configuration", path, maxConfig>>20)
	}
	m, err := arch.Read(config)
	if err != nil {
		return ModelFile{}, fmt.Errorf("%s: %w", path, err)
	}
	return ModelFile{Model: m, Name: base}, nil
}

// openGGUF reads the header of a GGUF file of so many bytes.
func openGGUF(f *os.File, name string, size int64) (ModelFile, error) {
	h, err := gguf.Read(f, size)
	if err != nil {
		return ModelFile{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	m, note, err := gguf.Model(h)
	if err != nil {
		return ModelFile{}, fmt.Errorf("%s: GGUF header: %w", f.Name(), err)
	}
	m.Uncounted = h.Lacks
	return ModelFile{Model: m, Name: name, Weights: h.Data, Note: note}, nil
}

// preset finds a model by name.
func preset(name string) (ModelFile, error) {
	p, err := arch.Find(name)
	if err != nil {
		return ModelFile{}, fmt.Errorf("no such file or folder, and %w", err)
	}
	m, err := arch.Read(p.Config)
	return ModelFile{Model: m, Name: p.Name}, err
}

// CacheType is the type of the model's own cache, and what of it is assumed: empty where the file names it.
func (m ModelFile) CacheType() (d method.DType, assumed string) {
	d = method.DTypeOf(m.DType)
	if m.DType == "" {
		assumed = "the model's file names no type of numbers: " + d.Name + " is assumed"
	}
	return d, assumed
}

// WeightBytes are those of the model's weights: as the file says, or counted and in the type that it names.
func (m ModelFile) WeightBytes() (int64, error) {
	switch {
	case m.Weights > 0:
		return m.Weights, nil
	case m.Quantised != "":
		return 0, fmt.Errorf("they are quantised (%s), and what they take is not counted", m.Quantised)
	case m.Params == 0:
		return 0, errors.New(m.Uncounted)
	}
	return m.Params * int64(method.DTypeOf(m.DType).Bytes), nil
}
