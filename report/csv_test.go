package report

import (
	"bytes"
	"encoding/csv"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim"
)

// TestCSVHeader names every field of a record, in its order, so that a new field is not forgotten.
func TestCSVHeader(t *testing.T) {
	var want []string
	for f := range fields(reflect.TypeFor[sim.Record](), "") {
		if f != "kept" && f != "kept_final" {
			want = append(want, f)
		}
	}
	var got []string
	for _, c := range csvColumns {
		got = append(got, c.name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("columns %v\nfields  %v", got, want)
	}
}

// fields yields the JSON names of a struct's fields, those of nested structs behind the name of theirs.
func fields(typ reflect.Type, prefix string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			name := prefix + tag
			if f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct {
				fields(f.Type.Elem(), name+"_")(yield)
			} else if !yield(name) {
				return
			}
		}
	}
}

// TestCSVNull leaves what was not measured empty, and quotes what needs it.
func TestCSVNull(t *testing.T) {
	r := sim.Record{Schema: 1, Status: sim.Skipped, Reason: "a, \"b\"\nc", Layers: []int{0, 5}}
	rows, err := csv.NewReader(bytes.NewReader(write(t, []sim.Record{r}, Options{Format: "csv"}))).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, name := range rows[0] {
		switch got := rows[1][i]; {
		case name == "reason" && got != r.Reason, name == "layers" && got != "0/5":
			t.Errorf("%s: %q", name, got)
		case strings.HasPrefix(name, "error_") || strings.HasPrefix(name, "latency_") || strings.HasSuffix(name, "_bytes"):
			if got != "" {
				t.Errorf("%s: %q, want empty", name, got)
			}
		}
	}
}
