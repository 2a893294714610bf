package sim

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/method"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// externalName matches what an external result may be called: nothing of the grammar of pipelines.
var externalName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// External is a pipeline that was made elsewhere: under one name the results that a method gave, each on a prefix of a
// trace. Cells at other lengths and on other traces are skipped.
type External struct {
	Name string

	results []*externalResult // by length, then decoded tokens; one for each trace, length and decode
}

// externalResult is the result on one prefix of a trace, read from a safetensors file. Its tensors are either of two
// forms, the same for all layers and for all results of a name:
//
//	layers.N.kept                I32 or I64 [kv_heads, n]: positions after the prompt, ascending, padded with -1
//	layers.N.k, layers.N.v       [seq_len, kv_heads, head_dim]: the rows that the method reconstructs
//
// Kept rows may also be [q_heads, n]: a cache that repeats K and V for every query head.
type externalResult struct {
	name, path string

	pipeline *method.Pipeline
	file     *trace.Tensors
	trace    *trace.Header
	seqLen   int
	decode   int
	kept     map[int][][]int32 // [layer][head] rows; nil in the other form
	bytes    int64             // of the whole cache, as declared with reconstructed rows
	unknown  []string          // a line for each metadata field that was ignored
}

// NewExternal is a pipeline of a name that has no results yet; Add opens their files.
func NewExternal(name string) (*External, error) {
	if !externalName.MatchString(name) {
		return nil, record.Input(fmt.Errorf("name %q: want letters, digits, dots, dashes and underscores", name))
	}
	if _, ok := method.Lookup(name); ok || slices.Contains(method.Sets(), name) {
		return nil, record.Input(fmt.Errorf("name %s: it is that of a method or set, want another", name))
	}
	return &External{Name: name}, nil
}

// Unknown has a line for each metadata field of the files that was ignored.
func (x *External) Unknown() (lines []string) {
	for _, r := range x.results {
		for _, line := range r.unknown {
			lines = append(lines, r.path+": "+line)
		}
	}
	return lines
}

// Close releases the files.
func (x *External) Close() error {
	var errs []error
	for _, r := range x.results {
		errs = append(errs, r.file.Close())
	}
	return errors.Join(errs...)
}

// add takes a result in, in the order of lengths: in that order the manifest and the reasons of cells list them.
func (x *External) add(r *externalResult) error {
	if o := x.at(r.trace, r.seqLen, r.decode); o != nil {
		return fmt.Errorf("metadata fields seq_len and decode: %d and %d, as in %s, want one file for each length", r.seqLen, r.decode, o.path)
	}
	if len(x.results) > 0 && r.dense() != x.results[0].dense() {
		return fmt.Errorf("its tensors are %s, those of %s are %s, want one form under one name", r.form(), x.results[0].path, x.results[0].form())
	}
	x.results = append(x.results, r)
	slices.SortStableFunc(x.results, func(a, b *externalResult) int {
		return cmp.Or(cmp.Compare(a.seqLen, b.seqLen), cmp.Compare(a.decode, b.decode), cmp.Compare(a.trace.Name, b.trace.Name))
	})
	return nil
}

// at returns the result on a prefix, nil where there is none.
func (x *External) at(t *trace.Header, seqLen, decode int) *externalResult {
	for _, r := range x.results {
		if r.trace == t && r.seqLen == seqLen && r.decode == decode {
			return r
		}
	}
	return nil
}

// lacks is the first tensor that one of the layers is without, or "".
func (x *externalResult) lacks(layers []int) string {
	kind := "kept"
	if x.dense() {
		kind = "k"
	}
	for _, layer := range layers {
		if name := fmt.Sprintf("layers.%d.%s", layer, kind); x.file.Shape(name) == nil {
			return name
		}
	}
	return ""
}

// option is how the result was asked for, for messages.
func (x *externalResult) option() string { return x.name + "=" + x.path }

// form names what the tensors hold.
func (x *externalResult) form() string {
	if x.dense() {
		return "reconstructed rows"
	}
	return "kept positions"
}

// describe is the entry of the run's manifest.
func (x *externalResult) describe() (record.ManifestTrace, error) {
	hash, err := x.file.Hash()
	if err != nil {
		return record.ManifestTrace{}, &record.InputError{Option: "external", Value: x.option(), Err: err}
	}
	return record.ManifestTrace{Name: x.name, SHA256: hash, Source: fmt.Sprintf("%d tokens of %s, %d decoded", x.seqLen, x.trace.Name, x.decode)}, nil
}

// dense says whether the result is one of reconstructed rows.
func (x *externalResult) dense() bool { return x != nil && x.kept == nil }

// replace returns a layer of the trace with the reconstructed rows as its keys and values.
func (x *externalResult) replace(layer int, l *trace.Layer) (*trace.Layer, error) {
	k, err := x.file.Rows(fmt.Sprintf("layers.%d.k", layer))
	if err != nil {
		return nil, fmt.Errorf("external %s: %w", x.name, err)
	}
	v, err := x.file.Rows(fmt.Sprintf("layers.%d.v", layer))
	if err != nil {
		return nil, fmt.Errorf("external %s: %w", x.name, err)
	}
	return &trace.Layer{K: k, V: v, Q: l.Q, FirstQuery: l.FirstQuery}, nil
}

// constant is the method of kept positions.
type constant struct{ *externalResult }

var _ method.Method = constant{}

// Fit accepts the cells that the result is for.
func (x constant) Fit(c method.Cell) (method.Cell, error) {
	c.Heads = len(x.kept[c.Layers[0]])
	return c, nil
}

// Decide keeps the rows of the file; the rows of a prompt are its positions.
func (x constant) Decide(_ method.Cell, v *cache.View) (cache.Decision, error) {
	d := cache.Decision{Keep: x.kept[v.Layers[0]]}
	if len(d.Keep) != v.Heads() {
		var repeat cache.MeanHeads
		for h := range v.QHeads() {
			repeat.Of = append(repeat.Of, []int{h / v.Group()})
		}
		d.Map = repeat
	}
	return d, nil
}

// dense is the method of reconstructed rows: all of them, stored as they are.
type dense struct{}

var _ method.Method = dense{}

// Fit accepts the cells that the result is for.
func (dense) Fit(c method.Cell) (method.Cell, error) { return c, nil }

// Decide stores f32: the rows are rounded already, as the method rounds them.
func (dense) Decide(method.Cell, *cache.View) (cache.Decision, error) {
	return cache.Decision{Codec: &cache.Codec{K: kernel.Plain(kernel.F32), V: kernel.Plain(kernel.F32)}}, nil
}
