package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// Tensors is a safetensors file that is no trace: metadata and named tensors, read when asked for.
type Tensors struct{ c *container }

// OpenTensors opens a safetensors file.
func OpenTensors(path string) (*Tensors, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, within("file", path, cause(err))
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		err = cause(err)
	case !info.Mode().IsRegular():
		err = errors.New("not a regular file")
	default:
		var t *Tensors
		if t, err = NewTensors(f, info.Size(), f.Close); err == nil {
			return t, nil
		}
	}
	_ = f.Close() // only read
	return nil, within("file", path, err)
}

// NewTensors reads the header of a safetensors file of size bytes. Closing is the caller's where it fails.
func NewTensors(r io.ReaderAt, size int64, release func() error) (*Tensors, error) {
	c, err := openSafetensors(r, size, release)
	if err != nil {
		return nil, err
	}
	return &Tensors{c}, nil
}

// Hash returns the sha256 of the file.
func (t *Tensors) Hash() (string, error) { return t.c.hash() }

// Close releases the file.
func (t *Tensors) Close() error { return t.c.close() }

// Metadata returns a field of the metadata.
func (t *Tensors) Metadata(field string) (text string, ok bool) {
	text, ok = t.c.meta[field]
	return text, ok
}

// Fields returns the names of the metadata's fields, sorted.
func (t *Tensors) Fields() []string { return slices.Sorted(maps.Keys(t.c.meta)) }

// Ignored returns a line for each value of the metadata that another replaced.
func (t *Tensors) Ignored() []string { return t.c.ignored }

// Names returns the names of all tensors, sorted.
func (t *Tensors) Names() []string { return slices.Sorted(maps.Keys(t.c.tensors)) }

// Shape returns that of a tensor, nil where there is none of that name.
func (t *Tensors) Shape(name string) []int { return t.c.tensors[name].shape }

// Ints reads a tensor that must be I32 or I64, of any shape.
func (t *Tensors) Ints(name string) ([]int64, error) {
	x := t.c.tensors[name]
	if x.dtype != "I32" && x.dtype != "I64" {
		return nil, fmt.Errorf("tensor %s: dtype %s, want I32 or I64", printable(name), printable(x.dtype))
	}
	buf, err := x.read()
	if err != nil {
		return nil, within("tensor", name, cause(err))
	}
	if x.dtype == "I64" {
		out := make([]int64, len(buf)/8)
		for i := range out {
			out[i] = int64(binary.LittleEndian.Uint64(buf[8*i:]))
		}
		return out, nil
	}
	out := make([]int64, len(buf)/4)
	for i := range out {
		out[i] = int64(int32(binary.LittleEndian.Uint32(buf[4*i:])))
	}
	return out, nil
}

// Rows reads a tensor [tokens, heads, dim], which must be F32, F16 or BF16, into one matrix [tokens*dim] a head.
// Its values must be finite.
func (t *Tensors) Rows(name string) ([][]float32, error) {
	x := t.c.tensors[name]
	switch {
	case rowBytes[x.dtype] == 0:
		return nil, fmt.Errorf("tensor %s: dtype %s, want %s", printable(name), printable(x.dtype), rowDtypes)
	case len(x.shape) != 3:
		return nil, fmt.Errorf("tensor %s: shape %v, want [tokens, heads, dim]", printable(name), x.shape)
	}
	return t.c.rows(name, 0, 0, x.shape[0])
}

// Open returns a tensor's element type and its elements, little-endian, last dimension fastest; nil where there is none of
// that name.
func (t *Tensors) Open(name string) (dtype string, elements io.ReaderAt) {
	x, ok := t.c.tensors[name]
	if !ok {
		return "", nil
	}
	r, err := x.open()
	at, ok := r.(io.ReaderAt)
	if err != nil || !ok {
		return x.dtype, nil // converted as it is read, which is of rows of traces alone
	}
	return x.dtype, at
}
