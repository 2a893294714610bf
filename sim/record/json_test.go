package record

import "testing"

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
