package method

import (
	"strings"
	"testing"
)

func TestWrappers(t *testing.T) {
	tests := []struct{ spec, want string }{ // the canonical name, or what the error says
		{"adakv+criticalkv", "adakv:budget=25%+criticalkv"},
		{"snapkv:window=16+adakv:alpha=0.5", "snapkv:budget=25%,window=16+adakv:alpha=0.5"},
		{"pyramidkv:budget=64+adakv", "pyramidkv:budget=64+adakv"},
		{"snapkv+adakv+criticalkv", "snapkv:budget=25%+adakv+criticalkv"},
		{"mqa+snapkv+criticalkv+int8", "mqa+snapkv:budget=25%+criticalkv+int8"},
		{"adakv+criticalkv:window=4", "criticalkv takes window from adakv:budget=25%: give it there"},
		{"snapkv+adakv:budget=4", "adakv takes budget from snapkv:budget=25%: give it there"},
		{"criticalkv+adakv", "decide the same thing"},
		{"knorm+criticalkv", "decide the same thing"},
		{"adakv+adakv", "decide the same thing"},
		{"adakv:alpha=1.5", "want a number from 0 to 1"},
		{"adakv:alpha=-0", "adakv:alpha=0,budget=25%"},
	}
	for _, tt := range tests {
		ps, err := Parse([]string{tt.spec}, []Entries{{Percent: 25}})
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %q", tt.spec, err, tt.want)
			}
			continue
		}
		if ps[0].Name != tt.want {
			t.Errorf("%s: %s, want %s", tt.spec, ps[0].Name, tt.want)
		}
		again, err := Parse([]string{tt.want}, []Entries{{Percent: 10}, {Percent: 20}})
		if err != nil || len(again) != 1 || again[0].Name != tt.want {
			t.Errorf("%s parses to %v, %v", tt.want, names(again), err)
		}
	}
	ps, err := Parse([]string{"adakv+criticalkv"}, []Entries{{Percent: 10}, {Percent: 20}})
	if err != nil || len(ps) != 2 {
		t.Errorf("two budgets give %v, %v", names(ps), err)
	}
}
