package trace

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"kvgauge/sim/record"
)

// Write writes a trace with F32, F16 or BF16 rows, into a container that path chooses as in Export. One layer is in memory at a
// time. The file or folder appears whole or not at all; the same trace gives the same bytes. progress, where it is not
// nil, hears of every tensor written, and its error ends the writing. Where ctx is cancelled nothing is left at once,
// though the writing may go on for a while.
func Write(ctx context.Context, path string, t *Trace, dtype string, progress func(done, total int) error) error {
	if rowBytes[dtype] == 0 {
		return record.Input(fmt.Errorf("dtype %s, want %s", printable(dtype), rowDtypes))
	}
	meta, err := t.fileMetadata()
	if err == nil {
		err = writeContainer(ctx, path, meta, t.items(dtype), progress)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", printable(path), err)
	}
	return nil
}

// WriteFloats writes a safetensors file of one F32 tensor, [rows][cols], whose rows come one after the other: rows calls put
// with some of them at a time. The file appears whole or not at all.
func WriteFloats(ctx context.Context, path, name string, rows, cols int, fill func(put func(rows []float32) error) error) error {
	items := []item{{name, "F32", []int{rows, cols}, 4 * int64(rows) * int64(cols), func(w io.Writer) error {
		return fill(func(rows []float32) error {
			for row := range slices.Chunk(rows, cols) {
				if err := writeRows(w, name, "F32", [][]float32{row}, cols, 0); err != nil {
					return err
				}
			}
			return nil
		})
	}}}
	if err := writeSafetensors(ctx, path, map[string]string{"format": "pt"}, items, nil); err != nil {
		return fmt.Errorf("%s: %w", printable(path), err)
	}
	return nil
}

// item is one tensor to write.
type item struct {
	name, dtype string
	shape       []int
	bytes       int64
	write       func(io.Writer) error
}

// widestFirst orders tensors so that each is aligned to its element.
func widestFirst(a, b item) int { return cmp.Compare(dtypeBits[b.dtype], dtypeBits[a.dtype]) }

// items lists the tensors of the file: those carried along, those of attention, the layers.
func (t *Trace) items(dtype string) []item {
	var items []item
	if c, ok := t.src.(*container); ok {
		for _, name := range c.carried() {
			x := c.tensors[name]
			items = append(items, item{name, x.dtype, x.shape, x.bytes, func(w io.Writer) error { return copyTensor(w, name, x) }})
		}
	}
	if m, ok := t.src.(*made); ok {
		items = append(items, m.tokens())
	}
	items = append(items, t.attentionItems()...)
	last := &lastLayer{trace: t}
	for _, layer := range t.Layers {
		a := t.At(layer)
		add := func(kind string, shape []int, write func(w io.Writer, name string, l *Layer) error) {
			name, n := fmt.Sprintf("layers.%d.%s", layer, kind), int64(rowBytes[dtype])
			for _, d := range shape {
				n *= int64(d)
			}
			items = append(items, item{name, dtype, shape, n, func(w io.Writer) error {
				l, err := last.read(layer)
				if err != nil {
					return err
				}
				return write(w, name, l)
			}})
		}
		rows := func(kind string, rows, heads, dim, first int, of func(*Layer) [][]float32) {
			add(kind, []int{rows, heads, dim}, func(w io.Writer, name string, l *Layer) error {
				return writeRows(w, name, dtype, of(l), dim, first)
			})
		}
		rows("q", t.Queries, a.QHeads, a.QKDim, t.FirstQuery(), func(l *Layer) [][]float32 { return l.Q })
		switch {
		case a.Latent():
			t.latentItems(a, dtype, add)
		case !a.Borrows:
			rows("k", t.Tokens, a.KVHeads, a.QKDim, 0, func(l *Layer) [][]float32 { return l.K })
			rows("v", t.Tokens, a.KVHeads, a.VDim, 0, func(l *Layer) [][]float32 { return l.V })
		}
		if _, ok := t.src.(*made); ok && a.Outputs {
			rows(outputTensor, t.Queries, a.QHeads, a.VDim, t.FirstQuery(), func(l *Layer) [][]float32 { return l.O })
		}
	}
	return items
}

// attentionItems lists the tensors of numbers that the metadata do not hold.
func (t *Trace) attentionItems() []item {
	var items []item
	add := func(name string, values []float64) {
		if values == nil {
			return
		}
		row := make([]float32, len(values))
		for i, v := range values {
			row[i] = float32(v)
		}
		items = append(items, item{
			name, "F32",
			[]int{len(row)},
			int64(4 * len(row)),
			func(w io.Writer) error { return writeRows(w, name, "F32", [][]float32{row}, len(row), 0) },
		})
	}
	if t.inFirst() {
		add(invFreqName, t.Attention[0].Rope.ownFrequencies())
		return items
	}
	for i, layer := range t.Layers {
		a, of := &t.Attention[i], fmt.Sprintf("layers.%d.", layer)
		add(of+invFreqName, a.Rope.ownFrequencies())
		add(of+"sinks", a.Sinks)
		add(of+"alibi", a.ALiBi)
	}
	return items
}

// ownFrequencies are those that do not follow from Theta; nil where they do.
func (r *Rope) ownFrequencies() []float64 {
	if slices.Equal(r.InvFreq, Frequencies(r.Theta, r.Dims)) {
		return nil
	}
	return r.InvFreq
}

// lastLayer keeps the layer that was read last, for its three tensors.
type lastLayer struct {
	trace  *Trace
	number int
	rows   *Layer
}

func (l *lastLayer) read(layer int) (*Layer, error) {
	if l.rows != nil && l.number == layer {
		return l.rows, nil
	}
	l.rows = nil // one layer in memory, not two
	rows, err := l.trace.Read(layer, l.trace.Tokens, 0)
	if err != nil {
		return nil, err
	}
	l.number, l.rows = layer, rows
	return rows, nil
}

// fileMetadata is what the file says of the trace, with the fields that are carried along.
func (t *Trace) fileMetadata() (map[string]string, error) {
	meta, err := t.metadata()
	if c, ok := t.src.(*container); ok && err == nil {
		carried := maps.Clone(c.meta)
		for _, field := range slices.Concat(traceFields, layerFields) {
			delete(carried, field)
		}
		maps.Copy(meta, carried)
	}
	return meta, err
}

// headerOf returns the length and the JSON of the safetensors header, padded so that the data start at a
// multiple of 8 bytes.
func headerOf(meta map[string]string, items []item) ([]byte, error) {
	type tensorInfo struct {
		Dtype   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	object, at := map[string]any{"__metadata__": meta}, int64(0)
	for _, x := range items {
		object[x.name] = tensorInfo{x.dtype, x.shape, [2]int64{at, at + x.bytes}}
		at += x.bytes
	}
	text, err := json.Marshal(object) // sorts keys
	if err != nil {
		return nil, err
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	if len(text) > maxHeader {
		return nil, record.Input(fmt.Errorf("header of %d bytes, want at most %d", len(text), maxHeader))
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), nil
}

// writeRows writes heads [heads][rows*dim] as [rows, heads, dim]; row 0 is that of token first.
func writeRows(w io.Writer, name, dtype string, heads [][]float32, dim, first int) error {
	buf := make([]byte, dim*rowBytes[dtype])
	for t := range len(heads[0]) / dim {
		for h, head := range heads {
			row := head[t*dim : (t+1)*dim]
			if d := fromFloat32(buf, row, dtype); d >= 0 {
				return record.Input(fmt.Errorf("tensor %s: token %d: head %d: channel %d: %v is beyond %s", name, first+t, h, d, row[d], dtype))
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyTensor writes a tensor as it is.
func copyTensor(w io.Writer, name string, x tensor) error {
	r, err := x.open()
	if err != nil {
		return within("tensor", name, cause(err))
	}
	defer r.Close()
	if _, err := io.CopyN(w, r, x.bytes); err != nil {
		return within("tensor", name, cause(err))
	}
	return nil
}

// replaceFile writes beside path and renames, so that nothing is left where write fails. It refuses to
// replace what is not a regular file, such as a folder or a device.
func replaceFile(ctx context.Context, path string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return record.Input(errors.New("not a regular file"))
	}
	part := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%016x.part", filepath.Base(path), rand.Uint64()))
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return cause(err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // closed already where the rename failed
			_ = os.Remove(part)
			err = cause(err)
		}
	}()
	defer context.AfterFunc(ctx, func() { _ = os.Remove(part) })() // the process may end before this function does
	w := bufio.NewWriterSize(f, chunk)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return cmp.Or(ctx.Err(), err) // without the file a cancellation took
	}
	return nil
}
