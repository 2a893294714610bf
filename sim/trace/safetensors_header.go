package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strconv"
)

// entry is one tensor of a safetensors header.
type entry struct {
	name, dtype string
	shape       []int
	begin, end  int64 // bytes after the header
}

// maxRank bounds the dimensions of a tensor.
const maxRank = 32

// header is what a safetensors header says. Of equal keys the last counts, as in the format's own reader.
type header struct {
	meta    texts
	entries []entry
	ignored []string // a line for each tensor that another of its name replaced
}

// texts are metadata fields by name.
type texts struct {
	values  map[string]string
	ignored []string // a line for each value that another replaced
}

// put sets a field. A value that it replaces is worth a line, unless it is the same.
func (t *texts) put(key, text string) {
	if old, ok := t.values[key]; ok && old != text {
		t.ignored = append(t.ignored, fmt.Sprintf("metadata field %s: comes more than once, %s ignored", printable(key), printable(old)))
	}
	t.values[key] = text
}

// parseHeader reads the JSON of a safetensors header. Keys that come twice and __metadata__ of null are taken as
// safetensors 0.8.0 takes them, which knows the entries by name and a null as no metadata. For the rest it is stricter
// than encoding/json: an unknown key, another null or a number that is not a natural one is refused. The library that the
// tests compare it with, github.com/nlpodyssey/safetensors, refuses a whole file for one tensor of a type that it does not
// know, and needs the file mapped, where a file that is cut while it is read ends the process.
func parseHeader(text []byte) (h header, err error) {
	p := newHeaderParser(text)
	h.meta.values = map[string]string{}
	places := map[string]int{} // of entries by name
	err = p.repeating(func(key string, again bool) error {
		switch {
		case key == "__metadata__" && again:
			return p.twice(key)
		case key == "__metadata__":
			return p.metadata(&h.meta)
		}
		e, err := p.entry(key)
		if err != nil {
			return within("tensor", key, err)
		}
		h.put(e, places)
		return nil
	})
	if err == nil {
		err = p.end()
	}
	return h, err
}

// put adds an entry, or replaces the one of its name.
func (h *header) put(e entry, places map[string]int) {
	i, ok := places[e.name]
	if !ok {
		places[e.name] = len(h.entries)
		h.entries = append(h.entries, e)
		return
	}
	if !h.entries[i].equal(&e) {
		h.ignored = append(h.ignored, fmt.Sprintf("tensor %s: comes more than once, all but the last ignored", printable(e.name)))
	}
	h.entries[i] = e
}

func (e *entry) equal(o *entry) bool {
	return e.dtype == o.dtype && slices.Equal(e.shape, o.shape) && e.begin == o.begin && e.end == o.end
}

// within names the thing that an error is about.
func within(what, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, printable(name), err)
}

// printable quotes a name from outside where it would not stand on one line as a word, and cuts a long one.
func printable(name string) string {
	const most = 80
	if len(name) > most {
		name = name[:most] + "..."
	}
	if q := strconv.Quote(name); name == "" || q != `"`+name+`"` {
		return q
	}
	return name
}

// headerParser reads JSON token by token.
type headerParser struct{ *json.Decoder }

func newHeaderParser(text []byte) headerParser {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return headerParser{d}
}

// at adds the byte at which the parser stands.
func (p headerParser) at(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("byte %d: %w", p.InputOffset(), err)
}

// end checks that only white space is left.
func (p headerParser) end() error {
	if _, err := p.Token(); err != io.EOF {
		return p.at(errors.New("text after the object, want its end"))
	}
	return nil
}

// token reads one token, which must be a T.
func token[T any](p headerParser, want string) (T, error) {
	t, err := p.Token()
	if err != nil {
		var none T
		return none, p.at(err)
	}
	v, ok := t.(T)
	if !ok {
		text := "null"
		if t != nil {
			text = printable(fmt.Sprint(t))
		}
		return v, p.at(fmt.Errorf("%s, want %s", text, want))
	}
	return v, nil
}

// open reads the delimiter that opens an object or an array.
func (p headerParser) open(delim json.Delim, want string) error {
	d, err := token[json.Delim](p, want)
	if err == nil && d != delim {
		err = p.at(fmt.Errorf("%v, want %s", d, want))
	}
	return err
}

// object reads an object; field reads the value of each of its keys, which come once.
func (p headerParser) object(field func(key string) error) error {
	return p.repeating(func(key string, again bool) error {
		if again {
			return p.twice(key)
		}
		return field(key)
	})
}

// repeating is object for keys that may come again, which field is told.
func (p headerParser) repeating(field func(key string, again bool) error) error {
	if err := p.open('{', "an object"); err != nil {
		return err
	}
	return p.members(field)
}

// members reads what is left of an object that is open.
func (p headerParser) members(field func(key string, again bool) error) error {
	seen := map[string]bool{}
	for p.More() {
		key, err := token[string](p, "a key")
		if err != nil {
			return err
		}
		if err := field(key, seen[key]); err != nil {
			return err
		}
		seen[key] = true
	}
	_, err := token[json.Delim](p, "the object's end")
	return err
}

func (p headerParser) twice(key string) error {
	return p.at(fmt.Errorf("key %s comes twice", printable(key)))
}

// metadata reads an object of strings, or null.
func (p headerParser) metadata(into *texts) error {
	t, err := p.Token()
	switch {
	case err != nil:
		return p.at(err)
	case t == nil:
		return nil
	case t != json.Delim('{'):
		return p.at(fmt.Errorf("%s, want an object", printable(fmt.Sprint(t))))
	}
	return p.members(func(key string, _ bool) error {
		text, err := token[string](p, "a string")
		if err != nil {
			return within("metadata field", key, err)
		}
		into.put(key, text)
		return nil
	})
}

// entry reads dtype, shape and data_offsets of one tensor.
func (p headerParser) entry(name string) (entry, error) {
	e := entry{name: name, begin: -1}
	err := p.object(func(key string) (err error) {
		switch key {
		case "dtype":
			e.dtype, err = token[string](p, "a string")
		case "shape":
			if e.shape, err = naturals[int](p); err == nil && len(e.shape) > maxRank {
				err = fmt.Errorf("%d dimensions, want at most %d", len(e.shape), maxRank)
			}
		case "data_offsets":
			var at []int64
			if at, err = naturals[int64](p); err == nil && len(at) != 2 {
				err = fmt.Errorf("%d numbers, want first and last byte", len(at))
			}
			if err == nil {
				e.begin, e.end = at[0], at[1]
			}
		default:
			err = errors.New("unknown, want dtype, shape and data_offsets")
		}
		return within("field", key, err)
	})
	if err == nil && (e.dtype == "" || e.shape == nil || e.begin < 0) {
		err = errors.New("want dtype, shape and data_offsets")
	}
	return e, err
}

// naturals reads an array of integers that are not negative.
func naturals[T int | int64](p headerParser) ([]T, error) {
	if err := p.open('[', "an array of natural numbers"); err != nil {
		return nil, err
	}
	list := []T{}
	for p.More() {
		text, err := token[json.Number](p, "a natural number")
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil || n < 0 || int64(T(n)) != n {
			return nil, p.at(fmt.Errorf("%s, want a natural number", printable(string(text))))
		}
		list = append(list, T(n))
	}
	_, err := token[json.Delim](p, "the array's end")
	return list, err
}

// checkOffsets sorts the entries by their data_offsets and checks that these cover the size bytes after the header
// without overlap or hole, and that each entry has the bytes of its shape.
func checkOffsets(entries []entry, size int64) error {
	slices.SortFunc(entries, func(a, b entry) int {
		if a.begin != b.begin {
			return int(min(1, max(-1, a.begin-b.begin)))
		}
		return int(min(1, max(-1, a.end-b.end)))
	})
	at := int64(0)
	for _, e := range entries {
		var err error
		switch {
		case e.end < e.begin:
			err = fmt.Errorf("data_offsets %d to %d, want them to ascend", e.begin, e.end)
		case e.begin < at:
			err = fmt.Errorf("data_offsets %d to %d overlap the tensor before, which ends at %d", e.begin, e.end, at)
		case e.begin > at:
			err = fmt.Errorf("data_offsets %d to %d leave a hole after byte %d", e.begin, e.end, at)
		case e.end > size:
			err = fmt.Errorf("data_offsets %d to %d, but the file ends after %d bytes of data: it is cut short", e.begin, e.end, size)
		default:
			err = e.check()
		}
		if err != nil {
			return within("tensor", e.name, err)
		}
		at = e.end
	}
	if at != size {
		return fmt.Errorf("%d bytes of data, want the %d that the header describes", size, at)
	}
	return nil
}

// check compares the bytes of an entry with its shape. Element types that this program does not know have
// no size to compare.
func (e entry) check() error {
	n, ok := elements(e.shape)
	if !ok {
		return fmt.Errorf("shape %v overflows", e.shape)
	}
	width, ok := dtypeBits[e.dtype]
	if !ok {
		return nil
	}
	if hi, lo := bits.Mul64(uint64(n), uint64(width)); hi != 0 || lo%8 != 0 || lo/8 != uint64(e.end-e.begin) {
		return fmt.Errorf("%d bytes, want those of shape %v in %s", e.end-e.begin, e.shape, e.dtype)
	}
	return nil
}

// elements multiplies the sizes of a shape; ok says whether the product fits.
func elements(shape []int) (n int64, ok bool) {
	product := uint64(1)
	for _, d := range shape {
		hi, lo := bits.Mul64(product, uint64(d))
		if hi != 0 || lo > 1<<62 {
			return 0, false
		}
		product = lo
	}
	return int64(product), true
}
