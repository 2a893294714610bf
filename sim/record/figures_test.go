package record

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestFiguresAreTheRecord: every field of a record but kept positions is a figure, in the order of its JSON.
func TestFiguresAreTheRecord(t *testing.T) {
	var want []string
	var names func(typ reflect.Type, before string)
	names = func(typ reflect.Type, before string) {
		for f := range typ.NumField() {
			field := typ.Field(f)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			switch part := field.Type; {
			case strings.HasPrefix(name, "kept"):
			case part.Kind() == reflect.Pointer && part.Elem().Kind() == reflect.Struct:
				names(part.Elem(), name+".")
			default:
				want = append(want, before+name)
			}
		}
	}
	names(reflect.TypeFor[Record](), "")
	var got []string
	for _, f := range Figures {
		got = append(got, f.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestFiguresReadAll: of a record with every field set, each figure has a text, and all but labels numbers.
func TestFiguresReadAll(t *testing.T) {
	r := sample()[0]
	fill(reflect.ValueOf(&r).Elem())
	for _, f := range Figures {
		if f.Text(r) == "" {
			t.Errorf("%s: no text", f.Name)
		}
		if f.Unit != None && len(f.Values(r)) == 0 {
			t.Errorf("%s: no value", f.Name)
		}
	}
	r.ClearStore()
	for _, f := range Figures {
		if got := f.Text(r) == ""; got != f.OfStore {
			t.Errorf("%s: cleared: %v", f.Name, got)
		}
	}
}

// fill sets every field that is empty.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Warning]() {
			v.Set(reflect.ValueOf(Warning{"code", "text"}))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		fill(v.Elem())
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		fill(v.Index(0))
	case reflect.String:
		if v.Len() == 0 {
			v.SetString("x")
		}
	}
}
