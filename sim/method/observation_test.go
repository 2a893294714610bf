package method

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestTopK(t *testing.T) {
	tests := []struct {
		scores []float64
		k      int
		want   []int32
	}{
		{[]float64{1, 3, 2}, 2, []int32{1, 2}},
		{[]float64{1, 2, 2, 2}, 2, []int32{1, 2}}, // the lower position wins a tie
		{[]float64{5, 5}, 0, nil},
		{[]float64{5, 4}, 9, []int32{0, 1}},
	}
	for _, tt := range tests {
		if got := topK(tt.scores, tt.k); !slices.Equal(got, tt.want) {
			t.Errorf("topK(%v, %d) = %v, want %v", tt.scores, tt.k, got, tt.want)
		}
	}
}

func TestPooled(t *testing.T) {
	scores := []float64{3, 0, 6, 0, 0}
	tests := []struct {
		pool  string
		width int
		want  []float64
	}{
		{"none", 3, scores},
		{"max", 1, scores},
		{"max", 3, []float64{3, 6, 6, 6, 0}},
		{"avg", 3, []float64{1, 3, 2, 2, 0}}, // divided by 3 at the edges too
		{"max", 9, []float64{6, 6, 6, 6, 6}},
	}
	for _, tt := range tests {
		got := pooled(scores, tt.pool, tt.width)
		if !slices.EqualFunc(got, tt.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }) {
			t.Errorf("pooled(%s, %d) = %v, want %v", tt.pool, tt.width, got, tt.want)
		}
	}
}

func TestAggregate(t *testing.T) {
	heads := [][]float64{{1, 4}, {3, 0}}
	for agg, want := range map[string][]float64{"mean": {2, 2}, "max": {3, 4}, "sum": {4, 4}} {
		if got := aggregate(heads, agg); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", agg, got, want)
		}
	}
}

func TestFit(t *testing.T) {
	cell := Cell{Layers: []int{0, 1, 2, 3}, NumLayers: 4, QHeads: 8, Heads: 8, Dim: 16, SeqLen: 100, Decode: 20, HasRope: true}
	tests := []struct {
		spec   string
		change func(*Cell)
		want   string // of the reason; empty where it applies
	}{
		{"full", nil, ""},
		{"gqa", nil, ""},
		{"gqa", func(c *Cell) { c.Heads = 3; c.QHeads = 9 }, "gqa would be mqa: 3 KV heads have no divisor between 1 and themselves"},
		{"gqa", func(c *Cell) { c.Heads = 1 }, "gqa would be mqa"},
		{"gqa:heads=3", nil, "heads=3 does not divide 8 KV heads"},
		{"gqa:heads=16", nil, "heads=16 does not divide 8 KV heads"},
		{"mqa+gqa:heads=2", nil, "parse"},
		{"snapkv:budget=8", nil, "budget of 8 entries is below window + 1 = 9"},
		{"snapkv:budget=5%", nil, "budget of 5 entries (5% of 100) is below window + 1 = 9"},
		{"snapkv:budget=20", func(c *Cell) { c.FirstQuery = 75 }, "needs the last 8 prompt queries, from token 72 on; the trace holds those from token 75 on"},
		{"snapkv:budget=90", func(c *Cell) { c.FirstQuery = 75 }, ""}, // nothing is scored
		{"streamingllm:budget=4", nil, "budget of 4 entries is below sinks + 1 = 5"},
		{"streamingllm:roll=on,budget=9", func(c *Cell) { c.HasRope = false }, "roll=on needs the rotary embedding"},
		{"random:budget=4,recent=4", nil, "below recent + 1 = 5"},
		{"knorm:budget=4,recent=4", nil, "below recent + 1 = 5"},
		{"qfilters:budget=4,recent=4", nil, "below recent + 1 = 5"},
		{"qfilters:budget=79", func(c *Cell) { c.FirstQuery = 80 }, "needs queries of the prompt; the trace holds those from token 80 on"},
		{"qfilters:budget=80", func(c *Cell) { c.FirstQuery = 80 }, ""}, // nothing is scored
		{"lagkv:budget=4", nil, "budget of 4 entries is below sinks + 1 = 5"},
		{"expectedattention:budget=4", nil, "below sinks + 1 = 5"},
		{"expectedattention:budget=20", func(c *Cell) { c.HasRope = false }, "needs keys under a rotary embedding"},
		{"expectedattention:budget=20", func(c *Cell) { c.FirstQuery = 5 }, "needs the prompt's queries from token 4 on; the trace holds those from token 5 on"},
		{"expectedattention:budget=80", func(c *Cell) { c.FirstQuery = 5 }, ""}, // nothing is scored
		{"cla:scores=producer+expectedattention", nil, ""},
		{"mla:rank=20+expectedattention", nil, "needs keys under a rotary embedding"},
		{"adakv:budget=80", func(c *Cell) { c.FirstQuery = 75 }, "needs the last 8 prompt queries"}, // a prompt of 80 is reduced
		{"adakv:budget=81", func(c *Cell) { c.FirstQuery = 75 }, ""},
		{"adakv:budget=80,variant=kvpress", func(c *Cell) { c.FirstQuery = 75 }, ""},
		{"adakv:budget=80+criticalkv", func(c *Cell) { c.FirstQuery = 75 }, "needs the last 8 prompt queries"},
		{"cake:budget=32", nil, "is below window + 1 = 33"},
		{"cake:budget=40", func(c *Cell) { c.Layers = []int{0, 3} }, "want those 4, not 2"},
		{"cake:budget=40", func(c *Cell) { c.FirstQuery = 49 }, "needs the last 32 prompt queries, from token 48 on"},
		{"cake:budget=48", func(c *Cell) { c.FirstQuery = 49 }, ""}, // 80 tokens are the budget and a window
	}
	for _, tt := range tests {
		t.Run(tt.spec, func(t *testing.T) {
			ps, err := Parse([]string{tt.spec}, []Entries{{Percent: 25}})
			if err != nil {
				if tt.want != "parse" {
					t.Fatal(err)
				}
				return
			}
			c := cell
			if tt.change != nil {
				tt.change(&c)
			}
			err = ps[0].Fit(c)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("reason %v, want %q", err, tt.want)
			}
		})
	}
}
