package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"kvgauge/sim/record"
)

// fields reads the fields of a JSON object, keeps the first thing that is wrong with them, and knows which were read.
// A field that is null counts as absent.
type fields struct {
	path   string // of the object within the file, "" or with a dot behind
	values map[string]json.RawMessage
	read   map[string]bool
	err    *error // shared with the objects within
}

// parseFields reads a file that is one JSON object.
func parseFields(text []byte) (*fields, error) {
	values := map[string]json.RawMessage{}
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&values); err != nil {
		return nil, record.JSONError(err)
	}
	if d.More() {
		return nil, fmt.Errorf("byte %d: text after the object, want its end", d.InputOffset())
	}
	if name := record.RepeatedField(text); name != "" {
		return nil, fmt.Errorf("field %s: it stands there twice, want one value", printable(name))
	}
	return &fields{values: values, read: map[string]bool{}, err: new(error)}, nil
}

// fail keeps an error of a field, the first one.
func (f *fields) fail(name, text string, args ...any) {
	if *f.err == nil {
		*f.err = fmt.Errorf("field %s: "+text, append([]any{printable(f.path + name)}, args...)...)
	}
}

// has says whether a field is there and not null.
func (f *fields) has(name string) bool {
	v, ok := f.values[name]
	return ok && string(v) != "null"
}

// take decodes a field into a T. It returns false where the field is absent, or is none.
func take[T any](f *fields, name, want string) (value T, ok bool) {
	f.read[name] = true
	if !f.has(name) {
		return value, false
	}
	if err := json.Unmarshal(f.values[name], &value); err != nil {
		f.fail(name, "%s, want %s", printable(string(f.values[name])), want)
		return value, false
	}
	return value, true
}

// natural reads a whole number from least to most.
func (f *fields) natural(name string, least, most int) int {
	if !f.has(name) {
		f.fail(name, "missing, want a whole number from %d to %d", least, most)
	}
	return f.naturalOr(name, least, least, most)
}

// naturalOr is natural for a field that has a default. A float that is a whole number counts as one, as 4096.0.
func (f *fields) naturalOr(name string, byDefault, least, most int) int {
	want := fmt.Sprintf("a whole number from %d to %d", least, most)
	x, ok := take[json.Number](f, name, want)
	if !ok {
		return byDefault
	}
	n, err := strconv.Atoi(string(x))
	if err != nil {
		v, floatErr := x.Float64()
		if n = int(v); floatErr == nil && float64(n) == v && math.Abs(v) < 1<<53 {
			err = nil
		}
	}
	if err != nil || n < least || n > most {
		f.fail(name, "%s, want %s", printable(string(x)), want)
		return byDefault
	}
	return n
}

// number reads a positive number.
func (f *fields) number(name string) float64 {
	if !f.has(name) {
		f.fail(name, "missing, want a finite number above 0")
	}
	return f.numberOr(name, 1)
}

// numberOr is number for a field that has a default.
func (f *fields) numberOr(name string, byDefault float64) float64 {
	x, ok := take[float64](f, name, "a finite number above 0")
	if !ok {
		return byDefault
	}
	if !(x > 0) {
		f.fail(name, "%v, want a finite number above 0", x)
		return byDefault
	}
	return x
}

// flag reads a truth value.
func (f *fields) flag(name string, byDefault bool) bool {
	if x, ok := take[bool](f, name, "true or false"); ok {
		return x
	}
	return byDefault
}

// word reads a string, which is one of those known.
func (f *fields) word(name, byDefault string, known ...string) string {
	x, ok := take[string](f, name, "a string")
	if !ok {
		return byDefault
	}
	if !slices.Contains(known, x) {
		f.fail(name, "%s, want %s", printable(x), strings.Join(known, " or "))
	}
	return x
}

// only refuses a field that has any other value than one, which changes nothing.
func (f *fields) only(name, value string) {
	if f.read[name] = true; f.has(name) && string(f.values[name]) != value {
		f.fail(name, "%s, want %s", printable(string(f.values[name])), value)
	}
}

// object reads a field that is an object; nil where it is absent or empty.
func (f *fields) object(name string) *fields {
	x, ok := take[map[string]json.RawMessage](f, name, "an object")
	if !ok || len(x) == 0 {
		return nil
	}
	return &fields{path: f.path + name + ".", values: x, read: map[string]bool{}, err: f.err}
}

// unread returns the names of fields that nobody asked for and that say something, sorted.
func (f *fields) unread() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		if !f.read[name] && f.has(name) {
			names = append(names, name)
		}
	}
	return names
}

// nothing says whether a value is what a feature that is switched off has.
func nothing(value json.RawMessage) bool {
	return slices.Contains([]string{"null", "false", "0", "0.0", `""`, "[]", "{}"}, string(value))
}

// printable quotes a text from outside where it would not stand on one line as a word, and cuts a long one.
func printable(text string) string {
	const most = 80
	if len(text) > most {
		text = text[:most] + "..."
	}
	if q := strconv.Quote(text); text == "" || q != `"`+text+`"` {
		return q
	}
	return text
}
