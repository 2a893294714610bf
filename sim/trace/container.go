package trace

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"kvgauge/sim/record"
)

// container is the source behind a safetensors file, an npz archive or a folder of npy files: named
// tensors, which are read from their beginning and only when asked for.
type container struct {
	meta    map[string]string
	tensors map[string]tensor
	sum     func() (string, error) // sha256 of the content
	release func() error

	owners map[int]int // of layers that have only queries: the layer whose keys and values they read

	unreadable []string // arrays that are no tensors, by name
	ignored    []string // a line for each array, field or replaced value that is not carried along

	embedded int64 // bytes of the program that the container is; 0 for files
}

// tensor is one array of a container.
type tensor struct {
	dtype string // as safetensors names it
	shape []int
	bytes int64
	open  func() (io.ReadCloser, error) // reads its elements, little-endian, last dimension fastest
}

// read returns all bytes of a tensor's elements.
func (x tensor) read() ([]byte, error) {
	r, err := x.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	buf := make([]byte, x.bytes)
	_, err = io.ReadFull(r, buf)
	return buf, err
}

func (c *container) hash() (string, error) { return c.sum() }

func (c *container) close() error { return c.release() }

func (c *container) read(layer, tokens, firstQuery int) (*Layer, error) {
	name, of := fmt.Sprintf("layers.%d.", layer), fmt.Sprintf("layers.%d.", layer) // of whose rows they are
	if owner, borrows := c.owners[layer]; borrows {
		of = fmt.Sprintf("layers.%d.", owner)
	}
	rows, ok := c.tensors[of+"k"]
	if !ok {
		rows, ok = c.tensors[of+"c"]
	}
	if !ok {
		layers, _ := layerNumbers(c.tensors) // checked when the trace was opened
		return nil, fmt.Errorf("layer %d: not held, want one of %s", layer, record.LayerList(layers))
	}
	held := rows.shape[0] - c.tensors[name+"q"].shape[0] // the first query
	l := &Layer{FirstQuery: max(held, firstQuery)}
	var err error
	latent := isLatent(c.tensors, layer)
	if latent {
		err = c.readLatents(of, l, tokens)
	} else {
		if l.K, err = c.rows(of+"k", 0, 0, tokens); err != nil {
			return nil, err
		}
		l.V, err = c.rows(of+"v", 0, 0, tokens)
	}
	if err != nil {
		return nil, err
	}
	queries := max(0, tokens-l.FirstQuery)
	if l.Q, err = c.rows(name+"q", held, l.FirstQuery-held, queries); err != nil {
		return nil, err
	}
	if latent && queries > 0 {
		l.Up, err = c.readUp(of)
	}
	return l, err
}

// chunk is the number of bytes read at a time, unless one row has more.
const chunk = 1 << 18

// rows reads n rows of a tensor [rows, heads, dim], or [rows, dim] of one head, after those that are skipped, into one matrix [n*dim] a head. Row 0 of
// the tensor is that of token first, for the text of errors.
func (c *container) rows(name string, first, skip, n int) ([][]float32, error) {
	x := c.tensors[name]
	heads, dim := 1, x.shape[len(x.shape)-1]
	if len(x.shape) == 3 {
		heads = x.shape[1]
	}
	out, all := make([][]float32, heads), make([]float32, heads*n*dim)
	for h := range out {
		out[h] = all[h*n*dim : (h+1)*n*dim : (h+1)*n*dim]
	}
	if n == 0 {
		return out, nil
	}
	r, err := x.open()
	if err != nil {
		return nil, within("tensor", name, cause(err))
	}
	defer r.Close()
	part := dim * rowBytes[x.dtype] // of one head in one row
	if err := skipBytes(r, int64(skip)*int64(heads*part)); err != nil {
		return nil, within("tensor", name, cause(err))
	}
	first += skip
	buf := make([]byte, min(n, max(1, chunk/(heads*part)))*heads*part)
	for t := 0; t < n; {
		b := buf[:min(len(buf), (n-t)*heads*part)]
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, fmt.Errorf("tensor %s: token %d: %w", name, first+t, cause(err))
		}
		for ; len(b) > 0; t++ {
			for h, head := range out {
				if d := toFloat32(head[t*dim:(t+1)*dim], b[:part], x.dtype); d >= 0 {
					return nil, fmt.Errorf("tensor %s: token %d: head %d: channel %d: %v, want a finite number", name, first+t, h, d, head[t*dim+d])
				}
				b = b[part:]
			}
		}
	}
	return out, nil
}

// vector reads a whole tensor of one dimension.
func (c *container) vector(name string) ([]float64, error) {
	x := c.tensors[name]
	buf, err := x.read()
	if err != nil {
		return nil, within("tensor", name, cause(err))
	}
	values := make([]float32, x.shape[0])
	if i := toFloat32(values, buf, x.dtype); i >= 0 {
		return nil, fmt.Errorf("tensor %s: element %d: %v, want a finite number", name, i, values[i])
	}
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out, nil
}

// carried returns the names of the tensors that are none of the trace's own.
func (c *container) carried() []string {
	var names []string
	for name := range c.tensors {
		if !isOwn(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// skipBytes moves a reader that was just opened on by n bytes.
func skipBytes(r io.Reader, n int64) error {
	if s, ok := r.(io.Seeker); ok {
		_, err := s.Seek(n, io.SeekCurrent)
		return err
	}
	_, err := io.CopyN(io.Discard, r, n)
	return err
}

// section opens size bytes of r from the given byte.
func section(r io.ReaderAt, from, size int64) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return sectionReader{io.NewSectionReader(r, from, size)}, nil }
}

// sectionReader is a part of a file that stays open.
type sectionReader struct{ *io.SectionReader }

func (sectionReader) Close() error { return nil }

// sha256Of returns the hash of all that r has.
func sha256Of(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, r, make([]byte, chunk)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
