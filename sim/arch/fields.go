package arch

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Bounds of what a configuration may say: beyond them it is refused before anything is multiplied or allocated.
const (
	maxField  = math.MaxInt32 // any integer field
	maxLayers = 1 << 10
	maxHeads  = 1 << 16 // of a layer
)

// fields are the fields of a configuration, or of one of its layers. The first that is missing or wrong is kept, and
// everything read after it is worth nothing: see err.
type fields struct {
	path  string            // stands before a name in errors: "text_config."
	says  map[string]any    // of this configuration, with json.Number for numbers
	alias map[string]string // the usual name to this type's other one; both are read, as transformers does
	over  map[string]any    // per_layer_config of one layer, which comes first
	where string            // what errors call over
	first *error
}

// fail keeps the first error.
func (f *fields) fail(format string, args ...any) {
	if *f.first == nil {
		*f.first = fmt.Errorf(format, args...)
	}
}

// value returns a field, what errors call it, and whether it is there; null counts as there.
func (f *fields) value(name string) (v any, path string, ok bool) {
	other := f.alias[name]
	if other == "" {
		other = name
	}
	for _, n := range [2]string{other, name} {
		if v, ok := f.over[n]; ok {
			return v, f.where + n, true
		}
	}
	for _, n := range [2]string{other, name} {
		if v, ok := f.says[n]; ok {
			return v, f.path + n, true
		}
	}
	return nil, f.path + other, false
}

// has says whether a field is there and not null.
func (f *fields) has(name string) bool {
	v, _, _ := f.value(name)
	return v != nil
}

// given says whether a field is there, be it null.
func (f *fields) given(name string) bool {
	_, _, ok := f.value(name)
	return ok
}

// set makes a field what the type's configuration class makes it from others.
func (f *fields) set(name string, v any) {
	delete(f.says, f.alias[name])
	f.says[name] = v
}

// missing refuses a configuration for a field that it lacks.
func (f *fields) missing(name, want string) {
	v, path, ok := f.value(name)
	if ok && v == nil {
		f.fail("%s: null, want %s", path, want)
		return
	}
	if ok {
		f.fail("%s: %s, want %s", path, show(v), want)
		return
	}
	f.fail("%s: missing, want %s", path, want)
}

// number reads an integer field of at least least.
func (f *fields) number(name string, least int) int {
	v, path, _ := f.value(name)
	if v == nil {
		f.missing(name, fmt.Sprintf("an integer from %d", least))
		return least
	}
	n, ok := integer(v)
	if !ok || n < least || n > maxField {
		f.fail("%s: %s, want an integer from %d to %d", path, show(v), least, maxField)
		return least
	}
	return n
}

// size reads a field that counts something: heads, channels, layers.
func (f *fields) size(name string) int { return f.number(name, 1) }

// real reads a finite number.
func (f *fields) real(name string) float64 {
	v, path, _ := f.value(name)
	if v == nil {
		f.missing(name, "a number")
		return 0
	}
	n, ok := v.(json.Number)
	x, err := strconv.ParseFloat(string(n), 64)
	if !ok || err != nil || math.Abs(x) > maxField {
		f.fail("%s: %s, want a number", path, show(v))
		return 0
	}
	return x
}

// flag reads a truth value, absent where the field is missing or null.
func (f *fields) flag(name string, absent bool) bool {
	v, path, _ := f.value(name)
	if v == nil {
		return absent
	}
	b, ok := v.(bool)
	if !ok {
		f.fail("%s: %s, want true or false", path, show(v))
	}
	return b
}

// text reads a string, "" where the field is missing or null.
func (f *fields) text(name string) string {
	v, path, _ := f.value(name)
	if v == nil {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		f.fail("%s: %s, want a string", path, show(v))
	}
	return s
}

// list reads a list, nil where the field is missing or null.
func (f *fields) list(name string) []any {
	v, path, _ := f.value(name)
	if v == nil {
		return nil
	}
	l, ok := v.([]any)
	if !ok || len(l) > maxLayers {
		f.fail("%s: %s, want a list of at most %d", path, show(v), maxLayers)
		return nil
	}
	return l
}

// texts reads a list of strings.
func (f *fields) texts(name string) []string {
	l := f.list(name)
	s := make([]string, len(l))
	for i, v := range l {
		t, ok := v.(string)
		if !ok {
			_, path, _ := f.value(name)
			f.fail("%s: element %d is %s, want a string", path, i, show(v))
			return nil
		}
		s[i] = t
	}
	return s
}

// numbers reads a list of integers from least.
func (f *fields) numbers(name string, least int) []int {
	l := f.list(name)
	s := make([]int, len(l))
	for i, v := range l {
		n, ok := integer(v)
		if !ok || n < least || n > maxField {
			_, path, _ := f.value(name)
			f.fail("%s: element %d is %s, want an integer from %d", path, i, show(v), least)
			return nil
		}
		s[i] = n
	}
	return s
}

// inside returns the fields of an object field.
func (f *fields) inside(name string) *fields {
	in := &fields{path: f.path + name + ".", first: f.first}
	v, path, _ := f.value(name)
	if v == nil {
		f.missing(name, "an object")
	} else if says, ok := v.(map[string]any); ok {
		in.says = says
	} else {
		f.fail("%s: %s, want an object", path, show(v))
	}
	if in.says == nil {
		in.says = map[string]any{}
	}
	return in
}

// layers returns the fields of each layer: those of the configuration, and over them what per_layer_config says.
func (f *fields) layers(n int) []*fields {
	of := make([]*fields, n)
	for i := range of {
		of[i] = f
	}
	if !f.has("per_layer_config") {
		return of
	}
	per := f.inside("per_layer_config")
	for _, key := range sortedKeys(per.says) {
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= n {
			f.fail("%s%s: want the number of a layer below %d", per.path, key, n)
			return of
		}
		over := per.inside(key)
		if over.has("skip") {
			f.fail("%sskip: %s, want no such field: what a skipped part caches is not known", over.path, show(over.says["skip"]))
		}
		at := *f
		at.over, at.where = over.says, over.path
		of[i] = &at
	}
	return of
}

// config is what errors call the whole of the fields.
func (f *fields) config() string { return f.path + "config" }

// times multiplies sizes; a product that no cache has is refused.
func (f *fields) times(sizes ...int) int {
	product := 1
	for _, n := range sizes {
		if n > 0 && product > maxElements/n {
			f.fail("%s: a layer of more than %d elements, want a model's configuration", f.config(), maxElements)
			return 1
		}
		product *= n
	}
	return product
}

// plus adds sizes, each of which times has bounded.
func plus(sizes ...int) int {
	sum := 0
	for _, n := range sizes {
		sum += n
	}
	return sum
}

// divide divides sizes as the models do, rounding down; a quotient below 1 is refused.
func (f *fields) divide(name string, size, by int) int {
	if n := size / by; n > 0 {
		return n
	}
	_, path, _ := f.value(name)
	f.fail("%s: %d, want at least one for each of %d", path, size, by)
	return 1
}

// integer returns the value of a number that is one: 4096, and 4096.0 as some write it.
func integer(v any) (int, bool) {
	n, ok := v.(json.Number)
	if !ok {
		i, ok := v.(int)
		return i, ok
	}
	if i, err := strconv.Atoi(string(n)); err == nil {
		return i, true
	}
	x, err := strconv.ParseFloat(string(n), 64)
	if err != nil || x != math.Trunc(x) || math.Abs(x) > maxField {
		return 0, false
	}
	return int(x), true
}

// show prints a value for an error, shortened.
func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "a value"
	}
	if len(b) > 60 {
		return string(b[:57]) + "..."
	}
	return string(b)
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
