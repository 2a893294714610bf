package record

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestInputError: an error is marked once, and where it is made; an option is named by the word.
func TestInputError(t *testing.T) {
	plain := errors.New("no space left on device")
	if InOption("out", plain) != plain || Input(nil) != nil || InOption("out", nil) != nil {
		t.Error("a failure became an error of the input")
	}
	lengths := &InputError{Option: "lengths", Value: "9", Err: errors.New("want more")}
	for _, err := range []error{lengths, Input(fmt.Errorf("plan: %w", lengths)), InOption("trace", lengths)} {
		in := (*InputError)(nil)
		if !errors.As(err, &in) || in != lengths || !strings.HasSuffix(err.Error(), Opt+"lengths 9: want more") {
			t.Errorf("%v", err)
		}
	}
	if err := InOption("out", Input(plain)); err.Error() != Opt+"out: no space left on device" {
		t.Errorf("%v", err)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"layers", "tokens", "head_dim"}
	for name, want := range map[string]string{
		"layer": "layers", "layres": "layers", "token": "tokens", "headdim": "head_dim", "head-dm": "head_dim",
		"hed": "", "la": "layers", "l": "", "tok": "tokens", "hea": "head_dim", "something": "", "": "", "xyz": "", strings.Repeat("x", 40): "",
	} {
		if got := Nearest(name, known); got != want {
			t.Errorf("nearest to %q: %q, want %q", name, got, want)
		}
	}
}
