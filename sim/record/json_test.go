package record

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestRepeatedField(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}`: "",
		`{"a":1,"a":1}`:                    "a",
		`{"a":{"b":[1,{"c":1,"c":2}]}}`:    "a.b.c",
		`[{"a":[[]]},{"b":{},"\u0062":2}]`: "b",
		`7`:                                "",
	} {
		if got := RepeatedField([]byte(text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestJSONError: no type of Go's stands in an error of a file.
func TestJSONError(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                                  "byte 1: array, want an object",
		`{"n":"1"}`:                           "n: string, want a whole number of 64 bits",
		`{"u":-1}`:                            "u: number -1, want a whole number from 0, of 8 bits",
		`{"x":true}`:                          "x: bool, want a number of 64 bits",
		`{"b":1}`:                             "b: number, want true or false",
		`{"list":[{"name":"a"},{"name":{}}]}`: "list.name: object, want a string",
		`{"list":1}`:                          "list: number, want an array",
		`{"at":[1]}`:                          "at: array, want an object",
		`{"n":x}`:                             "byte 6: invalid character 'x'",
		`{"n":`:                               "it ends too early",
		``:                                    "it ends too early",
	} {
		var into struct {
			N    *int    `json:"n"`
			U    uint8   `json:"u"`
			X    float64 `json:"x"`
			B    bool    `json:"b"`
			List []struct {
				Name string `json:"name"`
			} `json:"list"`
			At map[string]int `json:"at"`
		}
		err := json.NewDecoder(strings.NewReader(text)).Decode(&into)
		if err = JSONError(err); !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
