package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// JSONError words an error of encoding/json for whom the text is of: with the field or the byte, and what JSON has there in
// place of Go's types.
func JSONError(err error) error {
	syntax, kind := (*json.SyntaxError)(nil), (*json.UnmarshalTypeError)(nil)
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("byte %d: %w", syntax.Offset, err)
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Errorf("%s: %s, want %s", kind.Field, kind.Value, kindText(kind.Type))
	case errors.As(err, &kind):
		return fmt.Errorf("byte %d: %s, want %s", kind.Offset, kind.Value, kindText(kind.Type))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends too early")
	}
	return err
}

// kindText is what JSON has for a type.
func kindText(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindText(t.Elem())
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("a whole number of %d bits", t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number from 0, of %d bits", t.Bits())
	case reflect.Float32, reflect.Float64:
		return fmt.Sprintf("a number of %d bits", t.Bits())
	}
	return "an object"
}

// RepeatedField names the first field of a valid JSON text that has two values, by its path, and "" where none has:
// encoding/json takes the last in silence.
func RepeatedField(text []byte) string { return repeated(json.NewDecoder(bytes.NewReader(text)), "") }

// repeated looks at the value that comes next; path stands before its name.
func repeated(d *json.Decoder, path string) string {
	open, _ := d.Token()
	if open != json.Delim('{') && open != json.Delim('[') {
		return ""
	}
	seen := map[any]bool{}
	for d.More() {
		inside := path
		if open == json.Delim('{') {
			name, _ := d.Token()
			if inside += fmt.Sprint(name); seen[name] {
				return inside
			}
			seen[name] = true
			inside += "."
		}
		if name := repeated(d, inside); name != "" {
			return name
		}
	}
	_, _ = d.Token() // the end
	return ""
}
