package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"kvgauge/sim/record"
)

// Cut is the part of a trace that is kept.
type Cut struct {
	First, Last int   // tokens, both included
	Layers      []int // ascending; nil: all
	Heads       []int // KV heads, ascending, with the query heads that read them; nil: all
}

// cutter takes a part of the container behind a trace.
type cutter struct {
	Cut
	t     *Trace
	c     *container
	fewer bool     // tokens than there are
	notes []string // a line for each thing that is left out, or carried along as it is

	unproved []int // layers whose outputs are left out
}

// Cut returns a part of a trace that was opened from a file: a trace of its own, whose tensors are read when they are asked
// for. notes has a line for each thing that could not be kept. Tokens keep the positions that their queries and keys were
// rotated by; what a query read before the first of them is gone. Closing either trace closes both.
func (t *Trace) Cut(cut Cut) (part *Trace, notes []string, err error) {
	c, ok := t.src.(*container)
	if !ok {
		return nil, nil, record.Input(fmt.Errorf("trace %s: made, not read, want a file (kvgauge trace synth writes one)", t.Name))
	}
	if cut.Layers == nil {
		cut.Layers = t.Layers
	}
	w := &cutter{Cut: cut, t: t, c: c, fewer: cut.First > 0 || cut.Last < t.Tokens-1}
	if err := w.check(); err != nil {
		return nil, nil, err
	}
	p := &container{meta: maps.Clone(c.meta), tensors: map[string]tensor{}, release: c.release, embedded: c.embedded, ignored: c.ignored}
	p.sum = func() (string, error) { return "", errors.New("a part of a trace has no hash of its own") }
	for _, name := range slices.Sorted(maps.Keys(c.tensors)) {
		if name == invFreqName && w.unrotated() {
			w.notes = append(w.notes, fmt.Sprintf("tensor %s: left out, since no layer kept has a rotary embedding", name))
		} else if x, ok := w.tensor(name, c.tensors[name]); ok {
			p.tensors[name] = x
		}
	}
	if w.unproved != nil {
		slices.Sort(w.unproved)
		w.notes = append(w.notes, fmt.Sprintf("tensors layers.N.o of layers %s: left out, since queries read keys before token %d", record.LayerList(w.unproved), w.First))
	}
	if err := w.metadata(p.meta); err != nil {
		return nil, nil, fmt.Errorf("trace %s: %w", t.Name, err)
	}
	if part, err = newTrace(p); err != nil {
		return nil, nil, record.Input(fmt.Errorf("trace %s: %w", t.Name, err))
	}
	part.Name = t.Name
	return part, w.notes, nil
}

// check refuses parts that would not be what the trace says.
func (w *cutter) check() error {
	refuse := func(option, value, why string, args ...any) error {
		return &record.InputError{Option: option, Value: value, Err: fmt.Errorf(why, args...)}
	}
	tokens := fmt.Sprintf("%d..%d", w.First, w.Last)
	switch {
	case w.First < 0 || w.Last < w.First || w.Last >= w.t.Tokens:
		return refuse("tokens", tokens, "want first..last within 0..%d", w.t.Tokens-1)
	case w.Last < w.t.FirstQuery():
		return refuse("tokens", tokens, "the trace holds no query of these, want some of %d..%d", w.t.FirstQuery(), w.t.Tokens-1)
	}
	for _, layer := range w.Layers {
		if _, ok := slices.BinarySearch(w.t.Layers, layer); !ok {
			return refuse("layers", strconv.Itoa(layer), "not held, want some of %s", record.LayerList(w.t.Layers))
		}
		a := w.t.At(layer)
		switch {
		case a.Borrows && !slices.Contains(w.Layers, a.KVFrom):
			return refuse("layers", strconv.Itoa(layer), "it reads the keys and values of layer %d, want that kept too", a.KVFrom)
		case a.Chunk > 0 && w.First%a.Chunk != 0:
			return refuse("tokens", tokens, "layer %d attends within chunks of %d tokens, want a first token that begins one", layer, a.Chunk)
		}
		for _, h := range w.Heads {
			if h < 0 || h >= a.KVHeads {
				return refuse("heads", strconv.Itoa(h), "layer %d has the KV heads 0..%d", layer, a.KVHeads-1)
			}
		}
	}
	return nil
}

// upTo are the whole numbers from first to last.
func upTo(first, last int) []int {
	out := make([]int, last-first+1)
	for i := range out {
		out[i] = first + i
	}
	return out
}

// queryHeads are those that read the KV heads kept of a layer.
func (w *cutter) queryHeads(a *Attention) (out []int) {
	group := a.QHeads / a.KVHeads
	for _, h := range w.Heads {
		out = append(out, upTo(h*group, (h+1)*group-1)...)
	}
	return out
}

// tensor returns what is kept of a tensor; ok is false where nothing is.
func (w *cutter) tensor(name string, x tensor) (part tensor, ok bool) {
	m := layerTensor.FindStringSubmatch(name)
	if m == nil {
		return w.beside(name, x), true
	}
	layer, err := layerNumber(m[1])
	if err != nil || !slices.Contains(w.Layers, layer) {
		return x, false
	}
	a := w.t.At(layer)
	rows := upTo(w.First, w.Last) // of keys
	queries := upTo(max(w.First, w.t.FirstQuery())-w.t.FirstQuery(), w.Last-w.t.FirstQuery())
	heads := func(x tensor, axis int, keep []int) tensor {
		if w.Heads == nil {
			return x
		}
		return x.take(axis, keep)
	}
	switch kind := m[2]; kind {
	case "k", "v":
		return heads(x.take(0, rows), 1, w.Heads), true
	case "c", "k_rope":
		return x.take(0, rows), true
	case outputTensor:
		if !w.proves(a) {
			w.unproved = append(w.unproved, layer)
			return x, false
		}
		fallthrough
	case "q":
		return heads(x.take(0, queries), 1, w.queryHeads(a)), true
	case "w_uk", "w_uv", "sinks", "alibi":
		return heads(x, 0, w.queryHeads(a)), true
	case invFreqName:
		return x, true
	}
	if w.fewer || w.Heads != nil { // nobody knows what its axes are
		w.notes = append(w.notes, fmt.Sprintf("tensor %s: not a tensor of a trace, left out, since nobody knows which of its axes are tokens and heads", printable(name)))
		return x, false
	}
	return x, true
}

// unrotated says whether the layers with a rotary embedding are among those that are left out.
func (w *cutter) unrotated() bool {
	return w.t.HasRope() && !slices.ContainsFunc(w.Layers, func(layer int) bool { return w.t.At(layer).Rope.Dims > 0 })
}

// beside returns what is kept of a tensor that is no layer's.
func (w *cutter) beside(name string, x tensor) tensor {
	switch {
	case !w.fewer || name == invFreqName:
		return x
	case name == idsName && areIDs(x, w.t.Tokens):
		return x.take(len(x.shape)-1, upTo(w.First, w.Last))
	}
	w.notes = append(w.notes, fmt.Sprintf("tensor %s: carried along as it is, of all tokens", printable(name)))
	return x
}

// proves says whether no query kept of a layer reads a key that is not: the model's outputs are still those of attention.
func (w *cutter) proves(a *Attention) bool {
	first := max(w.First, w.t.FirstQuery())
	switch {
	case w.First == 0, a.Chunk > 0: // chunks begin anew with the first token
		return true
	case a.Window > 0:
		return first-a.Window+1 >= w.First
	}
	return false
}

// metadata makes the fields of a whole trace those of the part.
func (w *cutter) metadata(meta map[string]string) error {
	meta["num_layers"] = strconv.Itoa(w.t.NumLayers)
	if text, ok := meta["layers"]; ok {
		var of map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &of); err != nil {
			return err
		}
		for _, layer := range w.t.Layers {
			if !slices.Contains(w.Layers, layer) {
				delete(of, strconv.Itoa(layer))
			}
		}
		kept, err := json.Marshal(of) // sorts keys
		if err != nil {
			return err
		}
		meta["layers"] = string(kept)
	}
	if w.unrotated() {
		for _, name := range unrotatedFields {
			if text, ok := meta[name]; ok && text != defaultStyle {
				w.notes = append(w.notes, fmt.Sprintf("metadata field %s: left out, since no layer kept has a rotary embedding", name))
				delete(meta, name)
			}
		}
	}
	if w.First > 0 {
		meta["position_offset"] = strconv.Itoa(w.t.PositionOffset + w.First)
	}
	w.repeat(meta)
	return w.needles(meta)
}

// repeat keeps the tokens that repeat the context before them, where the context is kept.
func (w *cutter) repeat(meta map[string]string) {
	switch r := w.t.Repeat; {
	case r == Span{}:
	case w.First > 0 || w.Last < r.First:
		w.notes = append(w.notes, fmt.Sprintf("metadata field repeat_span: left out, since not all of the context of tokens %d..%d is kept", r.First, r.Last))
		delete(meta, "repeat_span")
	default:
		meta["repeat_span"] = fmt.Sprintf("%d..%d", r.First, min(r.Last, w.Last))
	}
}

// needles keeps those whose layer, head and tokens are kept.
func (w *cutter) needles(meta map[string]string) error {
	var kept []Needle
	for _, n := range w.t.Needles {
		head := n.KVHead
		if w.Heads != nil {
			head = slices.Index(w.Heads, n.KVHead)
		}
		if head >= 0 && slices.Contains(w.Layers, n.Layer) && n.Key >= w.First && n.Query <= w.Last {
			kept = append(kept, Needle{n.Layer, head, n.Key - w.First, n.Query - w.First})
		}
	}
	if left := len(w.t.Needles) - len(kept); left > 0 {
		w.notes = append(w.notes, fmt.Sprintf("metadata field needles: %d of %d left out, since their layer, head, key or query is", left, len(w.t.Needles)))
	}
	delete(meta, "needles")
	if kept == nil {
		return nil
	}
	text, err := json.Marshal(kept)
	meta["needles"] = string(text)
	return err
}
