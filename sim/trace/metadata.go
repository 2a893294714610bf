package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"kvgauge/sim/record"
)

// What the metadata fields format and version must say.
const (
	formatName    = "kvgauge-trace"
	formatVersion = "1"
)

// metaFields are the fields that a Header holds; others are carried along.
var metaFields = []string{
	"format", "version", "model", "source", "num_layers", "scale",
	"rope_theta", "rope_style", "rope_dims", "position_offset", "needles", "repeat_span",
}

func checkFormat(meta map[string]string) error {
	for _, f := range [][2]string{{"format", formatName}, {"version", formatVersion}} {
		got, ok := meta[f[0]]
		if !ok {
			return fmt.Errorf("metadata field %s: missing, want %s", f[0], f[1])
		}
		if got != f[1] {
			return fmt.Errorf("metadata field %s: %s, want %s", f[0], printable(got), f[1])
		}
	}
	return nil
}

// setMetadata takes the fields of the metadata; the shape is known.
func (h *Header) setMetadata(meta map[string]string) (err error) {
	h.Model, h.Source = meta["model"], meta["source"]
	if h.Model == "" {
		return errors.New("metadata field model: missing, want the model's name")
	}
	highest := h.Layers[len(h.Layers)-1]
	if h.NumLayers, err = natural(meta, "num_layers", highest+1, highest+1, maxLayers); err != nil {
		return err
	}
	if h.PositionOffset, err = natural(meta, "position_offset", 0, 0, math.MaxInt32); err != nil {
		return err
	}
	dim := h.Attention[0].QKDim
	scale, err := positive(meta, "scale", 1/math.Sqrt(float64(dim)))
	if err != nil {
		return err
	}
	rope, err := parseRope(meta, dim)
	if err != nil {
		return err
	}
	for i := range h.Attention {
		h.Attention[i].Scale, h.Attention[i].Rope = scale, rope
	}
	if text, ok := meta["needles"]; ok {
		if h.Needles, err = h.parseNeedles(text); err != nil {
			return fmt.Errorf("metadata field needles: %w", err)
		}
	}
	if text, ok := meta["repeat_span"]; ok {
		if h.Repeat, err = h.parseSpan(text); err != nil {
			return fmt.Errorf("metadata field repeat_span: %w", err)
		}
	}
	return nil
}

// natural reads an integer field within bounds.
func natural(meta map[string]string, field string, absent, least, most int) (int, error) {
	text, ok := meta[field]
	if !ok {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("metadata field %s: %s, want an integer from %d to %d", field, printable(text), least, most)
	}
	return n, nil
}

// positive reads a field that is a finite number above 0.
func positive(meta map[string]string, field string, absent float64) (float64, error) {
	text, ok := meta[field]
	if !ok {
		return absent, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f > 0) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("metadata field %s: %s, want a number above 0", field, printable(text))
	}
	return f, nil
}

// parseRope reads the rope_ fields; without rope_theta there is no rotary embedding, and the others say
// nothing.
func parseRope(meta map[string]string, headDim int) (Rope, error) {
	r := Rope{Style: "neox"}
	var err error
	if r.Theta, err = positive(meta, "rope_theta", 0); err != nil {
		return Rope{}, err
	}
	if style, ok := meta["rope_style"]; ok {
		if style != "neox" && style != "gptj" {
			return Rope{}, fmt.Errorf("metadata field rope_style: %s, want neox or gptj", printable(style))
		}
		r.Style = style
	}
	if r.Dims, err = natural(meta, "rope_dims", headDim, 2, headDim); err != nil {
		return Rope{}, err
	}
	if r.Theta == 0 {
		return Rope{}, nil
	}
	if r.Dims%2 != 0 {
		return Rope{}, fmt.Errorf("metadata field rope_dims: %d, want an even number", r.Dims)
	}
	r.InvFreq = frequencies(r.Theta, r.Dims)
	return r, nil
}

// frequencies returns theta^(-2p/dims) for every pair p (Su et al., RoFormer, arXiv 2104.09864, sec. 3.2.2).
func frequencies(theta float64, dims int) []float64 {
	f := make([]float64, dims/2)
	for p := range f {
		f[p] = math.Pow(theta, -2*float64(p)/float64(dims))
	}
	return f
}

// parseNeedles reads a JSON array of needles and checks each against the trace.
func (h *Header) parseNeedles(text string) ([]Needle, error) {
	var list []struct {
		Layer  *int `json:"layer"`
		KVHead *int `json:"kv_head"`
		Key    *int `json:"key"`
		Query  *int `json:"query"`
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&list); err != nil {
		return nil, fmt.Errorf("%w, want a JSON array of needles", err)
	}
	if list == nil {
		return nil, errors.New("null, want a JSON array of needles")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("text after the array")
	}
	var needles []Needle
	for i, n := range list {
		if n.Layer == nil || n.KVHead == nil || n.Key == nil || n.Query == nil {
			return nil, fmt.Errorf("needle %d: want layer, kv_head, key and query", i)
		}
		needle := Needle{*n.Layer, *n.KVHead, *n.Key, *n.Query}
		if err := h.checkNeedle(needle); err != nil {
			return nil, fmt.Errorf("needle %d: %w", i, err)
		}
		needles = append(needles, needle)
	}
	return needles, nil
}

func (h *Header) checkNeedle(n Needle) error {
	switch {
	case !slices.Contains(h.Layers, n.Layer):
		return fmt.Errorf("layer %d, want one of those held: %s", n.Layer, record.LayerList(h.Layers))
	case n.KVHead < 0 || n.KVHead >= h.At(n.Layer).KVHeads:
		return fmt.Errorf("kv_head %d, want 0 to %d", n.KVHead, h.At(n.Layer).KVHeads-1)
	case n.Key < 0 || n.Query >= h.Tokens || n.Key >= n.Query:
		return fmt.Errorf("key %d and query %d, want positions from 0 to %d, the key first", n.Key, n.Query, h.Tokens-1)
	}
	return nil
}

// parseSpan reads a range of tokens, first..last, that begins after a context.
func (h *Header) parseSpan(text string) (Span, error) {
	want := fmt.Errorf("%s, want tokens first..last from 1 to %d", printable(text), h.Tokens-1)
	a, b, ok := strings.Cut(text, "..")
	if !ok {
		return Span{}, want
	}
	first, errFirst := strconv.Atoi(a)
	last, errLast := strconv.Atoi(b)
	if errFirst != nil || errLast != nil || first < 1 || last < first || last >= h.Tokens {
		return Span{}, want
	}
	return Span{first, last}, nil
}

// metadata is the inverse of setMetadata.
func (h *Header) metadata() (map[string]string, error) {
	number := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	a := &h.Attention[0]
	meta := map[string]string{
		"format": formatName, "version": formatVersion, "model": h.Model, "source": h.Source,
		"num_layers": strconv.Itoa(h.NumLayers), "scale": number(a.Scale), "position_offset": strconv.Itoa(h.PositionOffset),
	}
	if a.Rope.Dims > 0 {
		meta["rope_theta"], meta["rope_style"] = number(a.Rope.Theta), a.Rope.Style
		meta["rope_dims"] = strconv.Itoa(a.Rope.Dims)
	}
	if h.Repeat != (Span{}) {
		meta["repeat_span"] = fmt.Sprintf("%d..%d", h.Repeat.First, h.Repeat.Last)
	}
	if len(h.Needles) > 0 {
		text, err := json.Marshal(h.Needles)
		if err != nil {
			return nil, err
		}
		meta["needles"] = string(text)
	}
	return meta, nil
}
