package method

import (
	"slices"
	"strings"
	"testing"
)

func names(ps []*Pipeline) []string {
	var out []string
	for _, p := range ps {
		out = append(out, p.Name)
	}
	return out
}

func budgets(t *testing.T, texts ...string) []Entries {
	t.Helper()
	var out []Entries
	for _, s := range texts {
		b, err := ParseBudget(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func TestParse(t *testing.T) {
	tests := []struct {
		name    string
		args    []string
		budgets []string
		want    []string
	}{
		{"budget is always named", []string{"snapkv"}, []string{"25%"}, []string{"snapkv:budget=25%"}},
		{"comma continues parameters", []string{"snapkv:budget=128,window=16,full"}, []string{"25%"}, []string{"snapkv:budget=128,window=16", "full"}},
		{"comma continues a method without colon", []string{"full,snapkv,window=16"}, []string{"1"}, []string{"full", "snapkv:budget=1,window=16"}},
		{"parameters are sorted, defaults left out", []string{"snapkv:window=08,kernel=5,pool=max,budget=64"}, []string{"25%"}, []string{"snapkv:budget=64,kernel=5"}},
		{"pipeline", []string{"gqa:heads=2+snapkv:budget=50.0%"}, []string{"25%"}, []string{"gqa:heads=2+snapkv:budget=50%"}},
		{"budgets in turn", []string{"full,snapkv"}, []string{"12%", "1k"}, []string{"full", "snapkv:budget=12%", "snapkv:budget=1024"}},
		{"given twice, kept once", []string{"full,mqa", "mqa,full"}, []string{"25%"}, []string{"full", "mqa"}},
		{"family", []string{"bound"}, []string{"25%"}, []string{"bestrank", "oracle:budget=25%", "random:budget=25%"}},
		{"values in another format", []string{"q8_0:v.block=32,v=q4_0,block=64"}, []string{"25%"}, []string{"q8_0:block=64,v=q4_0,v.block=32"}},
		{"its defaults are left out", []string{"int8:v=int4,v.group=32,v.axis=channel"}, []string{"25%"}, []string{"int8:v=int4,v.axis=channel"}},
		{"values in the same format", []string{"q8_0:v=q8_0,int4:group=8,v=int4,v.group=8,int4:group=8,v=int4"}, []string{"25%"}, []string{"q8_0", "int4:group=8", "int4:group=8,v=int4"}},
		{"recent takes the place of a budget", []string{"streamingllm:recent=60"}, []string{"25%", "50%"}, []string{"streamingllm:recent=60"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ps, err := Parse(tt.args, budgets(t, tt.budgets...))
			if err != nil {
				t.Fatal(err)
			}
			if got := names(ps); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestCanonicalIsStable parses what the canonical name says and wants the same name.
func TestCanonicalIsStable(t *testing.T) {
	ps, err := Parse([]string{"all", "mha+snapkv:layout=query", "streamingllm:recent=9,sinks=2,roll=on", "gqa:heads=4,init=random+pyramidkv:shape=flat"}, budgets(t, "12.5%"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		again, err := Parse([]string{p.Name}, budgets(t, "99"))
		if err != nil || len(again) != 1 || again[0].Name != p.Name {
			t.Errorf("%s parses to %v, %v", p.Name, names(again), err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ arg, want string }{
		{"snapvk", "did you mean snapkv?"},
		{"evicton", "did you mean eviction?"},
		{"all+int8", "all is a set of pipelines, which stands alone"},
		{"eviction:budget=8", "eviction is a set of pipelines, which stands alone"},
		{"", "unknown method"},
		{"full,", "unknown method"},
		{"snapkv:windw=8", "did you mean window?"},
		{"full:x=1", "takes no parameters"},
		{"snapkv:window", "want key=value"},
		{"snapkv:window=", "want key=value"},
		{"snapkv:window=0", "want an integer from 1"},
		{"snapkv:window=8,window=9", "given twice"},
		{"snapkv:kernel=4", "want an odd integer"},
		{"snapkv:pool=sum", "want max|avg|none"},
		{"snapkv:budget=0", "want a count from 1 to 2147483647 (128, 4k) or a share"},
		{"snapkv:budget=101%", "share of the sequence"},
		{"snapkv:budget=NaN%", "share of the sequence"},
		{"window=8", "unknown method"},
		{"full+snapkv", "stands alone"},
		{"snapkv+streamingllm", "decide the same thing"},
		{"oracle+snapkv", "decide the same thing"},
		{"snapkv+gqa", "write gqa+snapkv"},
		{"streamingllm:budget=8,recent=9", "give one of budget and recent"},
		{"gqa:heads=-1", "want an integer from 1"},
		{"q8_0:v=snapkv", "v=snapkv: want a method of the family quantisation"},
		{"q8_0:v=q4_0,v.v=q8_0", "q8_0 has no parameter \"v.v\""},
		{"q8_0:v.block=8", "parameter v.block is of a format of values, which v= must name"},
		{"q8_0:v=q4_0,v.blok=8", "did you mean v.block?"},
		{"q8_0:v=kivi,v.group=3", "residual=128: want a multiple of group=3"},
		{"snapkv:v.block=8", "snapkv has no parameter"},
	}
	for _, tt := range tests {
		t.Run(tt.arg, func(t *testing.T) {
			_, err := Parse([]string{tt.arg}, budgets(t, "25%"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestBudgetOf(t *testing.T) {
	tests := []struct {
		text   string
		seqLen int
		want   int
	}{
		{"128", 64, 128},
		{"2k", 64, 2048},
		{"25%", 1024, 256},
		{"25%", 1023, 255},
		{"29%", 100, 29}, // 0.29*100 is 28.999999999999996
		{"2.5%", 1024, 25},
		{"33.3%", 1000, 333},            // 33.3*1000/100 is 332.99999999999994
		{"9.999999999999998%", 320, 31}, // 1-0.9 as other tools compute it
		{"0.1%", 100, 1},
		{"100%", 77, 77},
	}
	for _, tt := range tests {
		b, err := ParseBudget(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Of(tt.seqLen); got != tt.want {
			t.Errorf("%s of %d is %d, want %d", tt.text, tt.seqLen, got, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"full", "gqa:heads=2+snapkv:budget=128,window=8,mqa", "a,b=c+d:e=f", ":", "+", "snapkv:budget=1e999%", "seed,all", "q8_0:v=int4,v.group=64", "snapkv+adakv:alpha=1e-9+criticalkv", "knorm:skip=0/1,budget=1e-300%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ps, err := Parse([]string{s}, []Entries{{Percent: 25}})
		if err != nil {
			return
		}
		for _, p := range ps {
			again, err := Parse([]string{p.Name}, []Entries{{Count: 7}})
			if err != nil || len(again) != 1 || again[0].Name != p.Name {
				t.Errorf("%q gives %q, which does not parse to itself: %v", s, p.Name, err)
			}
		}
	})
}
