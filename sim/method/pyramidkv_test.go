package method

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// schedule asks a pyramidkv pipeline for the entries of each layer.
func schedule(t *testing.T, spec string, layers, seqLen int) ([]int, string) {
	t.Helper()
	ps, err := Parse([]string{spec}, []Entries{{Percent: 25}})
	if err != nil {
		t.Fatal(err)
	}
	keep, warnings := ps[0].methods[0].(pyramidKV).schedule(Cell{NumLayers: layers, SeqLen: seqLen}, seqLen)
	var codes []string
	for _, w := range warnings {
		codes = append(codes, w.Code)
	}
	return keep, strings.Join(codes, ",")
}

func total(ns []int) (sum int) {
	for _, n := range ns {
		sum += n
	}
	return sum
}

// TestPyramidSchedule holds the integer schedule of KVCache-Factory with window 8 and beta 20 on a prompt
// of 8192 tokens against values computed from its published rule.
func TestPyramidSchedule(t *testing.T) {
	tests := []struct {
		layers             int
		budget             string
		bottom, top, total int
	}{
		{32, "64", 118, 25, 2288},
		{32, "96", 180, 25, 3280},
		{32, "128", 242, 25, 4272},
		{32, "256", 492, 27, 8304},
		{32, "512", 991, 61, 16832},
		{32, "1024", 1990, 68, 32928},
		{32, "2048", 3986, 111, 65552},
		{80, "64", 118, 39, 6280},
		{80, "128", 242, 84, 13040},
		{80, "256", 492, 97, 23560},
		{80, "2048", 3986, 115, 164040},
	}
	for _, tt := range tests {
		keep, codes := schedule(t, "pyramidkv:budget="+tt.budget, tt.layers, 8192)
		if keep[0] != tt.bottom || keep[tt.layers-1] != tt.top || total(keep) != tt.total || codes != "" {
			t.Errorf("%d layers, budget %s: bottom %d, top %d, total %d, warnings %q; want %d, %d, %d and none",
				tt.layers, tt.budget, keep[0], keep[tt.layers-1], total(keep), codes, tt.bottom, tt.top, tt.total)
		}
	}
}

func TestPyramidShapes(t *testing.T) {
	for _, params := range []string{"", ",rounding=exact", ",variant=kvpress,window=2", ",beta=3"} {
		for _, layers := range []int{2, 7, 30} {
			pyramid, _ := schedule(t, "pyramidkv:budget=200"+params, layers, 900)
			flat, _ := schedule(t, "pyramidkv:budget=200,shape=flat"+params, layers, 900)
			inverted, _ := schedule(t, "pyramidkv:budget=200,shape=inverted"+params, layers, 900)
			if total(pyramid) != total(flat) || total(pyramid) != total(inverted) {
				t.Errorf("%q, %d layers: totals %d, %d, %d differ", params, layers, total(pyramid), total(flat), total(inverted))
			}
			for l := range pyramid {
				if pyramid[l] != inverted[layers-1-l] || flat[0]-flat[l] > 1 || l > 0 && pyramid[l] > pyramid[l-1] {
					t.Errorf("%q: pyramid %v, flat %v, inverted %v", params, pyramid, flat, inverted)
				}
			}
		}
	}
}

func TestPyramidExactMeetsItsBudget(t *testing.T) {
	for _, budget := range []string{"24", "64", "128", "400", "449"} {
		for _, layers := range []int{1, 2, 6, 32, 80} {
			keep, _ := schedule(t, "pyramidkv:rounding=exact,budget="+budget, layers, 900)
			b, _ := ParseBudget(budget)
			if total(keep) != b.Count*layers {
				t.Errorf("budget %s, %d layers: total %d, want %d", budget, layers, total(keep), b.Count*layers)
			}
			for _, n := range keep {
				if n > 900 {
					t.Errorf("budget %s, %d layers: a layer keeps %d of 900", budget, layers, n)
				}
			}
		}
	}
}

// TestPyramidRoundsAsKvpress holds schedules in which shares lie halfway between two numbers against those that
// get_layer_budget of NVIDIA/kvpress at 8bb29b9 computes, with window 8.
func TestPyramidRoundsAsKvpress(t *testing.T) {
	tests := []struct {
		budget       string // 100*(1-ratio) in float64
		beta, seqLen int
		want         []int
	}{
		{"30.000000000000004%", 2, 66, []int{30, 23, 17, 10}},
		{"30.000000000000004%", 2, 90, []int{40, 32, 22, 14}},
		{"30.000000000000004%", 1, 95, []int{28, 28, 28, 28}},
		{"30.000000000000004%", 2, 122, []int{55, 43, 31, 18}},
		{"70%", 1, 165, []int{115, 115, 115, 115}},
	}
	for _, tt := range tests {
		keep, _ := schedule(t, fmt.Sprintf("pyramidkv:beta=%d,budget=%s,variant=kvpress", tt.beta, tt.budget), 4, tt.seqLen)
		if !slices.Equal(keep, tt.want) {
			t.Errorf("%s of %d, beta %d: %v, want %v", tt.budget, tt.seqLen, tt.beta, keep, tt.want)
		}
	}
}

func TestPyramidWarnings(t *testing.T) {
	tests := []struct {
		spec   string
		layers int
		want   string
	}{
		{"pyramidkv:budget=100", 4, ""},
		{"pyramidkv:budget=600", 4, "schedule-uniform"}, // 900 tokens are fewer than 2*(600-8)
		{"pyramidkv:budget=100", 1, "schedule-uniform"},
		{"pyramidkv:budget=450,beta=1", 4, ""},
		{"pyramidkv:budget=450,beta=200", 4, ""},
		{"pyramidkv:budget=450,beta=20,window=20", 4, ""},
		{"pyramidkv:budget=458,beta=1000", 4, "clamped"},
		{"pyramidkv:budget=12%,variant=kvpress", 30, "schedule-uniform"}, // 5.4 entries are below the window
		{"pyramidkv:budget=25%,variant=kvpress", 30, ""},
		{"pyramidkv:budget=60%,variant=kvpress", 30, "clamped"},
	}
	for _, tt := range tests {
		if _, codes := schedule(t, tt.spec, tt.layers, 900); codes != tt.want {
			t.Errorf("%s, %d layers: warnings %q, want %q", tt.spec, tt.layers, codes, tt.want)
		}
	}
}
