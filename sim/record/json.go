package record

import (
	"bytes"
	"encoding/json"
	"fmt"
)

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
