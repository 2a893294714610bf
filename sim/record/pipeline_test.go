package record

import (
	"slices"
	"testing"
)

func TestParsePipeline(t *testing.T) {
	p := ParsePipeline("gqa:heads=2+snapkv:budget=25%,window=8+full")
	if len(p) != 3 || p[0].Method != "gqa" || p[1].Params[1].Key() != "window" || p[1].Params[1].Value() != "8" || p[2].Params != nil {
		t.Errorf("%#v", p)
	}
	if got := p.Without("snapkv", "window").String(); got != "gqa:heads=2+snapkv:budget=25%+full" {
		t.Errorf("without the window: %s", got)
	}
}

// FuzzParsePipeline: any text is the name of what it is parsed into.
func FuzzParsePipeline(f *testing.F) {
	for _, name := range []string{"", "a", "a:", "a:b", "a:b=", "a:=b", "a:b=c,d=e+f", "+", ":,=", "a:b:c"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got := ParsePipeline(name).String(); got != name {
			t.Errorf("%q became %q", name, got)
		}
	})
}

func TestSplitPipelines(t *testing.T) {
	for list, want := range map[string][]string{
		"a,b":                     {"a", "b"},
		"a:b=1,c=2,d":             {"a:b=1,c=2", "d"},
		"a,b=1":                   {"a:b=1"},
		"g:h=2+s,budget=1,full+x": {"g:h=2+s:budget=1", "full+x"},
		"a:b=1, c=2 , d":          {"a:b=1,c=2", "d"},
		"x=1":                     {"x=1"},
		"a:b=1,c+d=2":             {"a:b=1", "c+d=2"},
		"":                        {""},
	} {
		if got := SplitPipelines(list); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", list, got, want)
		}
	}
}
