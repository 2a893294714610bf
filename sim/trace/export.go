package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"kvgauge/sim/record"
)

// Export writes a trace that was opened from a file into another container: a safetensors file or an npz archive, as the end of
// path says, or a folder of npy files where it has none. All tensors and metadata are carried along; those of rows, outputs
// and latents become dtype (F32, F16 or BF16; empty: each as it is). A block is in memory at a time. The file or folder
// appears whole or not at all. progress and ctx are as in Write.
func Export(ctx context.Context, path string, t *Trace, dtype string, progress func(done, total int) error) error {
	c, ok := t.src.(*container)
	if !ok {
		return record.Input(fmt.Errorf("trace %s: made, not read, want a file (kvgauge trace synth writes one)", t.Name))
	}
	if err := writeContainer(ctx, path, c.meta, c.exported(dtype), progress); err != nil {
		return record.InPath("out", fmt.Errorf("%s: %w", printable(path), err))
	}
	return nil
}

// writeContainer writes what the end of path says.
func writeContainer(ctx context.Context, path string, meta map[string]string, items []item, progress func(done, total int) error) error {
	if err := CheckEnd(path); err != nil {
		return record.Input(err)
	}
	switch {
	case IsFolder(path):
		return writeNPYs(ctx, path, meta, items, progress)
	case endOf(path) == npzExt:
		return writeNPZ(ctx, path, meta, items, progress)
	}
	return writeSafetensors(ctx, path, meta, items, progress)
}

const (
	safetensorsExt = ".safetensors"
	npzExt         = ".npz"
)

func endOf(path string) string { return strings.ToLower(filepath.Ext(path)) }

// IsFolder says whether a path to write is that of a folder of npy files: its name has no end.
func IsFolder(path string) bool {
	return endOf(path) == "" || strings.HasSuffix(path, string(filepath.Separator))
}

// CheckEnd refuses a path to write whose end is of no container.
func CheckEnd(path string) error {
	if IsFolder(path) || endOf(path) == npzExt || endOf(path) == safetensorsExt {
		return nil
	}
	return errors.New("want a file that ends in .safetensors or .npz, or a folder, whose name has no end")
}

// writeSafetensors writes a safetensors file.
func writeSafetensors(ctx context.Context, path string, meta map[string]string, items []item, progress func(done, total int) error) error {
	items = slices.Clone(items)
	slices.SortStableFunc(items, widestFirst)
	header, err := headerOf(meta, items)
	if err != nil {
		return err
	}
	return replaceFile(ctx, path, func(w io.Writer) error {
		if _, err := w.Write(header); err != nil {
			return err
		}
		return writeItems(items, progress, func(x item) error { return x.write(w) })
	})
}

// writeItems writes one after the other.
func writeItems(items []item, progress func(done, total int) error, write func(item) error) error {
	for i, x := range items {
		if err := write(x); err != nil {
			return err
		}
		if progress == nil {
			continue
		}
		if err := progress(i+1, len(items)); err != nil {
			return err
		}
	}
	return nil
}

// exported lists all tensors of a container, layer by layer, with those of numbers by token or head in a dtype.
func (c *container) exported(dtype string) []item {
	var items []item
	for _, name := range slices.SortedFunc(maps.Keys(c.tensors), byLayer) {
		x := c.tensors[name]
		m, to := layerTensor.FindStringSubmatch(name), dtype
		if to == "" || m == nil || !slices.Contains(slices.Concat(rowTensors, latentTensors, []string{outputTensor}), m[2]) {
			to = x.dtype
		}
		if to == x.dtype {
			items = append(items, item{name, x.dtype, x.shape, x.bytes, func(w io.Writer) error { return copyTensor(w, name, x) }})
			continue
		}
		n := x.bytes / int64(rowBytes[x.dtype]) * int64(rowBytes[to])
		items = append(items, item{name, to, x.shape, n, func(w io.Writer) error { return writeRounded(w, name, x, to) }})
	}
	return items
}

// byLayer orders names: those of layers last, in the order of their numbers.
func byLayer(a, b string) int {
	layer := func(name string) int {
		m := layerTensor.FindStringSubmatch(name)
		if m == nil {
			return -1
		}
		n, _ := layerNumber(m[1]) // a number that is none sorts like 0
		return n
	}
	if d := layer(a) - layer(b); d != 0 {
		return d
	}
	return strings.Compare(a, b)
}

// writeRounded writes the elements of a tensor in another dtype, of which they must be finite numbers.
func writeRounded(w io.Writer, name string, x tensor, dtype string) error {
	r, err := x.open()
	if err != nil {
		return within("tensor", name, cause(err))
	}
	defer r.Close()
	from, to := rowBytes[x.dtype], rowBytes[dtype]
	n := int(x.bytes) / from
	values := make([]float32, min(n, chunk/4))
	src, dst := make([]byte, len(values)*from), make([]byte, len(values)*to)
	for at := 0; at < n; {
		part := values[:min(len(values), n-at)]
		if _, err := io.ReadFull(r, src[:len(part)*from]); err != nil {
			return within("tensor", name, cause(wantMore(err)))
		}
		if i := toFloat32(part, src, x.dtype); i >= 0 {
			return record.Input(fmt.Errorf("tensor %s: element %v: %v, want a finite number", name, indexOf(at+i, x.shape), part[i]))
		}
		if i := fromFloat32(dst, part, dtype); i >= 0 {
			return record.Input(fmt.Errorf("tensor %s: element %v: %v is beyond %s", name, indexOf(at+i, x.shape), part[i], dtype))
		}
		if _, err := w.Write(dst[:len(part)*to]); err != nil {
			return err
		}
		at += len(part)
	}
	return nil
}

// indexOf is the index of the n-th element of an array.
func indexOf(n int, shape []int) []int {
	index := make([]int, len(shape))
	for i := len(shape) - 1; i >= 0; i-- {
		index[i] = n % shape[i]
		n /= shape[i]
	}
	return index
}
