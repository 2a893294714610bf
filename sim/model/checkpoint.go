package model

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// maxJSON bounds config.json and the index of shards: the largest models' are a tenth of it.
const maxJSON = 64 << 20

// stored is a matrix or vector in a file.
type stored struct {
	format kernel.Format
	shape  []int
	r      io.ReaderAt // its elements, little-endian, last dimension fastest
}

// formats of weights by the element types of safetensors.
var formats = map[string]kernel.Format{"F32": kernel.F32, "F16": kernel.F16, "BF16": kernel.BF16}

// checkpoint is the tensors of a model, by name.
type checkpoint struct {
	tensors map[string]stored
	unread  map[string]string // dtypes of tensors that are no weights of a known type
	files   []io.Closer
}

// Close releases the files.
func (c *checkpoint) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// readSmall reads a whole file of at most most bytes.
func readSmall(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	switch info, err := f.Stat(); {
	case err != nil:
		return nil, cause(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() > most:
		return nil, fmt.Errorf("%d bytes, want at most %d", info.Size(), most)
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// cause takes away the path that os adds to its errors.
func cause(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

const (
	single    = "model.safetensors"
	indexFile = "model.safetensors.index.json"
)

// openCheckpoint finds the tensors of a folder: those of model.safetensors, or of the shards that an index names.
func openCheckpoint(dir string) (*checkpoint, error) {
	c := &checkpoint{tensors: map[string]stored{}, unread: map[string]string{}}
	_, err := os.Stat(filepath.Join(dir, single))
	if err == nil {
		err = c.addFile(dir, single, nil)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = c.addShards(dir)
	}
	if err != nil {
		_ = c.Close() // only read
		return nil, err
	}
	return c, nil
}

// addShards adds the tensors of all shards.
func (c *checkpoint) addShards(dir string) error {
	text, err := readSmall(filepath.Join(dir, indexFile), maxJSON)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no %s and no %s, want one of them", single, indexFile)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", indexFile, err)
	}
	of, err := parseIndex(text)
	if err != nil {
		return fmt.Errorf("%s: %w", indexFile, err)
	}
	for _, shard := range slices.Sorted(maps.Keys(of)) {
		if err := c.addFile(dir, shard, of[shard]); err != nil {
			return err
		}
	}
	return nil
}

// parseIndex returns the tensors of each shard, sorted.
func parseIndex(text []byte) (map[string][]string, error) {
	f, err := parseFields(text)
	if err != nil {
		return nil, err
	}
	names, ok := take[map[string]string](f, "weight_map", "an object of strings")
	if !ok && *f.err == nil {
		f.fail("weight_map", "missing, want the shard of each tensor")
	}
	if *f.err != nil {
		return nil, *f.err
	}
	of := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		shard := names[name]
		if !filepath.IsLocal(shard) || strings.ContainsAny(shard, `/\`) {
			return nil, fmt.Errorf("tensor %s: shard %s, want a file of the same folder", printable(name), printable(shard))
		}
		of[shard] = append(of[shard], name)
	}
	return of, nil
}

// addFile adds the tensors of a file: those named, or where names is nil all.
func (c *checkpoint) addFile(dir, file string, names []string) error {
	t, err := trace.OpenTensors(filepath.Join(dir, file))
	if err != nil {
		return err
	}
	c.files = append(c.files, t)
	if names == nil {
		names = t.Names()
	}
	for _, name := range names {
		dtype, r := t.Open(name)
		if r == nil {
			return fmt.Errorf("%s: tensor %s: missing, and %s says that it is there", printable(file), printable(name), indexFile)
		}
		format, ok := formats[dtype]
		if !ok {
			c.unread[name] = dtype
			continue
		}
		c.tensors[name] = stored{format: format, shape: t.Shape(name), r: r}
	}
	return nil
}

// has says whether there is a tensor of a name, of whatever type.
func (c *checkpoint) has(name string) bool {
	_, known := c.tensors[name]
	_, other := c.unread[name]
	return known || other
}

// bytes is what a tensor takes, 0 where there is none.
func (c *checkpoint) bytes(name string) int64 {
	x, ok := c.tensors[name]
	if !ok {
		return 0
	}
	n := int64(x.format.CodeBytes(1))
	for _, d := range x.shape {
		n *= int64(d) // bounded by the file
	}
	return n
}

// want checks that a tensor is there and has a shape.
func (c *checkpoint) want(name string, shape ...int) error {
	x, ok := c.tensors[name]
	switch dtype, other := c.unread[name]; {
	case other:
		return fmt.Errorf("tensor %s: dtype %s, want F32, F16 or BF16", printable(name), printable(dtype))
	case !ok:
		return fmt.Errorf("tensor %s: missing, want shape %v", printable(name), shape)
	case !slices.Equal(x.shape, shape):
		return fmt.Errorf("tensor %s: shape %v, want %v", printable(name), x.shape, shape)
	}
	return nil
}
