package sim

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kvgauge/sim/method"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

const (
	externalFormat  = "kvgauge-external"
	externalVersion = "1"
)

// externalTensor matches the tensors of a file.
var externalTensor = regexp.MustCompile(`^layers\.(0|[1-9][0-9]{0,4})\.(kept|k|v)$`)

// Add opens the file of a result on one of the traces and checks it against that trace. Positions are read at once,
// reconstructed rows layer by layer when they are needed.
func (x *External) Add(path string, traces []*trace.Trace) (err error) {
	defer func() { err = record.Input(err) }()
	f, err := trace.OpenTensors(path)
	if err != nil {
		return err
	}
	r, err := newExternalResult(x.Name, path, f, traces)
	if err == nil {
		err = x.add(r)
	}
	if err != nil {
		_ = f.Close() // only read
	}
	return err
}

// newExternalResult checks metadata and tensors.
func newExternalResult(name, path string, f *trace.Tensors, traces []*trace.Trace) (*externalResult, error) {
	x := &externalResult{name: name, path: path, file: f}
	if err := x.setMetadata(traces); err != nil {
		return nil, err
	}
	layers, err := x.layers()
	if err == nil {
		err = x.strangers()
	}
	if err != nil {
		return nil, err
	}
	if x.kept == nil {
		x.pipeline = method.NewExternal(name, dense{}, false)
		return x, x.checkRows(layers)
	}
	for _, layer := range layers {
		if x.kept[layer], err = x.readKept(layer); err != nil {
			return nil, err
		}
	}
	x.pipeline = method.NewExternal(name, constant{x}, true)
	return x, nil
}

// setMetadata reads the metadata and finds the trace.
func (x *externalResult) setMetadata(traces []*trace.Trace) error {
	for _, f := range [][2]string{{"format", externalFormat}, {"version", externalVersion}} {
		if text, _ := x.file.Metadata(f[0]); text != f[1] {
			return fmt.Errorf("metadata field %s: %q, want %s", f[0], text, f[1])
		}
	}
	hash, _ := x.file.Metadata("trace_sha256")
	var known []string
	for _, t := range traces {
		h, err := t.Hash()
		if err != nil {
			return fmt.Errorf("trace %s: %w", t.Name, err)
		}
		if h == hash {
			x.trace = &t.Header
		}
		known = append(known, t.Name+" "+h)
	}
	if x.trace == nil {
		return fmt.Errorf("metadata field trace_sha256: %q, want that of a trace of this run (%s)", hash, strings.Join(known, ", "))
	}
	var err error
	if x.seqLen, err = x.natural("seq_len", 1, x.trace.Tokens); err != nil {
		return err
	}
	x.decode, err = x.natural("decode", 0, x.seqLen-1)
	return err
}

// strangers notes the fields that are ignored, and refuses those that are misspelt.
func (x *externalResult) strangers() error {
	known := []string{"format", "version", "trace_sha256", "seq_len", "decode", "cache_bytes"}
	x.unknown = x.file.Ignored()
	for _, name := range x.file.Fields() {
		switch n := record.Nearest(name, known); {
		case name == "cache_bytes" && x.kept != nil:
			x.unknown = append(x.unknown, "metadata field cache_bytes: of reconstructed rows alone, ignored")
		case slices.Contains(known, name), trace.IsFree(name):
		case n != "":
			return fmt.Errorf("metadata field %q: unknown, did you mean %s?", name, n)
		default:
			x.unknown = append(x.unknown, fmt.Sprintf("metadata field %q: not a field of an external result, ignored", name))
		}
	}
	return nil
}

// natural reads a whole number of the metadata.
func (x *externalResult) natural(field string, least, most int) (int, error) {
	text, _ := x.file.Metadata(field)
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("metadata field %s: %q, want an integer from %d to %d", field, text, least, most)
	}
	return n, nil
}

// layers returns the layers that the file holds, ascending, and decides its form.
func (x *externalResult) layers() ([]int, error) {
	forms := map[bool]string{} // a tensor of each form: kept or not
	held := map[int]bool{}
	for _, name := range x.file.Names() {
		m := externalTensor.FindStringSubmatch(name)
		if m == nil {
			return nil, fmt.Errorf("tensor %q: unknown, want layers.N.kept, or layers.N.k and layers.N.v", name)
		}
		layer, _ := strconv.Atoi(m[1])
		if !slices.Contains(x.trace.Layers, layer) {
			return nil, fmt.Errorf("tensor %s: the trace holds no layer %d", name, layer)
		}
		if owner := x.trace.Owner(layer); owner != layer {
			return nil, fmt.Errorf("tensor %s: layer %d reads the keys and values of layer %d, want that layer's alone", name, layer, owner)
		}
		if m[2] != "kept" && x.trace.At(layer).Latent() {
			return nil, fmt.Errorf("tensor %s: layer %d caches latents, want layers.%d.kept", name, layer, layer)
		}
		held[layer] = true
		forms[m[2] == "kept"] = name
	}
	switch {
	case len(forms) == 0:
		return nil, errors.New("no tensors, want layers.N.kept, or layers.N.k and layers.N.v")
	case len(forms) == 2:
		return nil, fmt.Errorf("tensors %s and %s: want kept positions or reconstructed rows, not both", forms[true], forms[false])
	case forms[true] != "":
		x.kept = map[int][][]int32{}
	}
	var layers []int
	for _, l := range x.trace.Layers {
		if held[l] {
			layers = append(layers, l)
		}
	}
	return layers, nil
}

// readKept reads the kept positions of a layer: [head][rows].
func (x *externalResult) readKept(layer int) ([][]int32, error) {
	name := fmt.Sprintf("layers.%d.kept", layer)
	a, shape, prompt := x.trace.At(layer), x.file.Shape(name), x.seqLen-x.decode
	if len(shape) != 2 || shape[0] != a.KVHeads && shape[0] != a.QHeads || shape[1] < 1 || shape[1] > prompt {
		return nil, fmt.Errorf("tensor %s: shape %v, want [%d KV heads, 1 to %d positions]", name, shape, a.KVHeads, prompt)
	}
	all, err := x.file.Ints(name)
	if err != nil {
		return nil, err
	}
	kept := make([][]int32, shape[0])
	for h := range kept {
		if kept[h], err = x.positions(all[h*shape[1] : (h+1)*shape[1]]); err != nil {
			return nil, fmt.Errorf("tensor %s: head %d: %w", name, h, err)
		}
	}
	return kept, nil
}

// positions checks those of one head and cuts off the padding.
func (x *externalResult) positions(row []int64) ([]int32, error) {
	prompt := int64(x.seqLen - x.decode)
	kept := make([]int32, 0, len(row))
	for i, pos := range row {
		switch {
		case len(kept) < i && pos != -1:
			return nil, fmt.Errorf("%d after the padding, want -1 to the end", pos)
		case pos == -1:
			continue
		case pos < 0 || pos >= prompt:
			return nil, fmt.Errorf("position %d, want 0 to %d", pos, prompt-1)
		case i > 0 && pos <= row[i-1]:
			return nil, fmt.Errorf("position %d after %d, want them to ascend", pos, row[i-1])
		}
		kept = append(kept, int32(pos))
	}
	if len(kept) == 0 && x.decode == 0 {
		return nil, errors.New("no position, want at least one where nothing is decoded")
	}
	return kept, nil
}

// checkRows checks the reconstructed form. Values are read once, so that one that is not finite is found before
// anything is measured, and not kept.
func (x *externalResult) checkRows(layers []int) error {
	declared, err := x.natural("cache_bytes", 0, math.MaxInt)
	if err != nil {
		return fmt.Errorf("%w: the bytes of the whole cache, which reconstructed rows do not tell", err)
	}
	x.bytes = int64(declared)
	for _, layer := range layers {
		a := x.trace.At(layer)
		for kind, dim := range []int{a.QKDim, a.VDim} {
			want := []int{x.seqLen, a.KVHeads, dim}
			name := fmt.Sprintf("layers.%d.%s", layer, [...]string{"k", "v"}[kind])
			switch shape := x.file.Shape(name); {
			case shape == nil:
				return fmt.Errorf("tensor %s: missing, want k and v of each layer", name)
			case !slices.Equal(shape, want):
				return fmt.Errorf("tensor %s: shape %v, want %v", name, shape, want)
			}
			if _, err := x.file.Rows(name); err != nil {
				return err
			}
		}
	}
	return nil
}
