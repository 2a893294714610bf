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

// checkFormat checks that metadata are those of a trace of a version that this program reads.
func checkFormat(meta map[string]string) error {
	for _, f := range []struct {
		name string
		want []string
	}{{"format", []string{formatName}}, {"version", []string{firstVersion, secondVersion}}} {
		got, ok := meta[f.name]
		want := strings.Join(f.want, " or ")
		if !ok {
			return fmt.Errorf("metadata field %s: missing, want %s", f.name, want)
		}
		if !slices.Contains(f.want, got) {
			return fmt.Errorf("metadata field %s: %s, want %s", f.name, printable(got), want)
		}
	}
	return nil
}

// setMetadata takes the fields of the whole trace; the shape is known.
func (h *Header) setMetadata(all *fields) (err error) {
	meta := all.texts
	h.Model, h.Source = meta["model"], meta["source"]
	if h.Model == "" {
		return errors.New("metadata field model: missing, want the model's name")
	}
	highest := h.Layers[len(h.Layers)-1]
	if n := len(h.States); n > 0 {
		highest = max(highest, h.States[n-1].Layer)
	}
	if h.NumLayers, err = all.natural("num_layers", highest+1, highest+1, maxLayers); err != nil {
		return err
	}
	if h.PositionOffset, err = all.natural("position_offset", 0, 0, math.MaxInt32); err != nil {
		return err
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
		return nil, fmt.Errorf("%w: want a JSON array of needles", record.JSONError(err))
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
	return needles, checkNeedleKeys(text)
}

// checkNeedleKeys refuses what encoding/json takes: keys that come twice, and those in other letters.
func checkNeedleKeys(text string) error {
	p := newHeaderParser([]byte(text))
	if err := p.open('[', "an array"); err != nil {
		return err
	}
	for p.More() {
		err := p.object(func(key string) error {
			if !slices.Contains([]string{"layer", "kv_head", "key", "query"}, key) {
				return p.at(fmt.Errorf("key %s, want layer, kv_head, key and query", printable(key)))
			}
			_, err := p.Token()
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
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
