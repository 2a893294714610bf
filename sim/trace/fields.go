package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"kvgauge/sim/record"
)

// fields are what the metadata say of a whole trace, or of one of its layers, as texts by name.
type fields struct {
	where string // stands before a name in errors
	texts map[string]string
	none  map[string]bool // what a layer says null of: the default of all layers does not hold there
	all   *fields         // the defaults of all layers; nil where these are they
}

// lookup returns the text of a field and how errors call it.
func (f *fields) lookup(name string) (text, path string, ok bool) {
	for ; f != nil && !f.none[name]; f = f.all {
		if text, ok := f.texts[name]; ok {
			return text, f.where + name, true
		}
	}
	return "", "", false
}

// natural reads an integer field within bounds.
func (f *fields) natural(name string, absent, least, most int) (int, error) {
	text, path, ok := f.lookup(name)
	if !ok {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s: %s, want an integer from %d to %d", path, printable(text), least, most)
	}
	return n, nil
}

// positive reads a field that is a finite number above 0.
func (f *fields) positive(name string, absent float64) (float64, error) {
	text, path, ok := f.lookup(name)
	if !ok {
		return absent, nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x > 0) || math.IsInf(x, 0) {
		return 0, fmt.Errorf("%s: %s, want a finite number above 0", path, printable(text))
	}
	return x, nil
}

// nullFields are those that a layer may say null of: it has none, whatever the default of all layers is.
var nullFields = []string{"window", "chunk", "softcap", "rope_theta"}

// layerFieldsOf reads the metadata field layers, an object from the number of a layer to the object of its fields. It
// returns the fields of every layer that is held, the states of others, and what was ignored of them.
func layerFieldsOf(all *fields, held []int) (of []*fields, states []State, ignored []string, err error) {
	of = make([]*fields, len(held))
	text, ok := all.texts["layers"]
	for i := range of {
		if of[i] = all; ok {
			of[i] = &fields{all: all}
		}
	}
	if !ok {
		return of, nil, nil, nil
	}
	p := newHeaderParser([]byte(text))
	err = p.object(func(number string) error {
		f := &fields{
			where: "metadata field layers: layer " + printable(number) + ": ",
			texts: map[string]string{}, none: map[string]bool{}, all: all,
		}
		strange, err := p.layer(f)
		ignored = append(ignored, strange...)
		if _, ok := f.texts[stateField]; ok && err == nil {
			s, err := f.state(number, held)
			states = append(states, s)
			return within("layer", number, err)
		}
		i := 0
		if err == nil {
			i, err = heldLayer(number, held)
		}
		if err == nil {
			of[i] = f
		}
		return within("layer", number, err)
	})
	if err == nil {
		err = p.end()
	}
	slices.SortFunc(states, func(a, b State) int { return a.Layer - b.Layer })
	return of, states, ignored, within("metadata field", "layers", err)
}

// maxStateBytes bounds what a layer may say that it keeps.
const maxStateBytes = 1 << 46

// state is what a layer keeps that has nothing else.
func (f *fields) state(number string, held []int) (State, error) {
	n, err := layerNumber(number)
	if err != nil {
		return State{}, err
	}
	if _, ok := slices.BinarySearch(held, n); ok {
		return State{}, fmt.Errorf("%s: its tensors are held, want a layer without any", stateField)
	}
	for name := range f.texts {
		if name != stateField {
			return State{}, fmt.Errorf("%s beside %s: a layer that keeps a state has no attention", name, stateField)
		}
	}
	own := &fields{texts: f.texts} // whose callers say where they stand
	bytes, err := own.natural(stateField, 0, 1, maxStateBytes)
	return State{n, int64(bytes)}, err
}

// layer reads the fields of one layer and returns a line for each that was ignored.
func (p headerParser) layer(f *fields) (ignored []string, err error) {
	err = p.object(func(name string) error {
		var value json.RawMessage
		if err := p.Decode(&value); err != nil {
			return p.at(err)
		}
		known, err := checkLayerField(name)
		switch {
		case err == nil && known:
			err = f.take(name, value)
		case err == nil:
			ignored = append(ignored, fmt.Sprintf("%s%s: not a field of a layer, ignored", f.where, printable(name)))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", printable(name), err)
		}
		return nil
	})
	return ignored, err
}

// take keeps the value of a layer's field, whose kind of JSON it checks.
func (f *fields) take(name string, value json.RawMessage) error {
	if IsFree(name) { // of any kind
		return nil
	}
	var x any
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	if err := d.Decode(&x); err != nil {
		return err
	}
	text, isText := x.(string)
	number, isNumber := x.(json.Number)
	switch {
	case x == nil && slices.Contains(nullFields, name):
		f.none[name] = true
	case name == "rope_style" && isText:
		f.texts[name] = text
	case name == "rope_style":
		return fmt.Errorf("%s, want neox or gptj", printable(string(value)))
	case isText:
		return fmt.Errorf("text %s, want a number", printable(text))
	case !isNumber:
		return fmt.Errorf("%s, want a number", printable(string(value)))
	default:
		f.texts[name] = string(number)
	}
	return nil
}

// heldLayer returns the index of a layer among those that are held.
func heldLayer(number string, held []int) (int, error) {
	n, err := layerNumber(number)
	if err != nil {
		return 0, err
	}
	i, ok := slices.BinarySearch(held, n)
	if !ok {
		return 0, errors.New("not held, want one of " + record.LayerList(held))
	}
	return i, nil
}
