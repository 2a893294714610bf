package method

import (
	"strings"
	"testing"
)

// TestOnlineErrors: parameters that contradict each other, and values out of range.
func TestOnlineErrors(t *testing.T) {
	tests := []struct{ spec, want string }{
		{"h2o:variant=kvpress,heavy=3", "takes no heavy"},
		{"h2o:variant=kvcache-factory,recent=3", "takes no heavy and no recent"},
		{"h2o:window=16", "protects no window"},
		{"h2o:variant=kvpress,window=16", "protects no window"},
		{"rkv:lambda=1.5", "want at most 1"},
		{"rkv:kernel=6", "want an odd integer"},
		{"dsa:dim=16,index=oracle", "has no index keys"},
		{"duoattention:full=50", "share from 0% to 100%"},
		{"duoattention:full=101%", "share from 0% to 100%"},
		{"duoattention:full=NaN%", "share from 0% to 100%"},
		{"quest:dense=a", "integers from 0"},
		{"quest+h2o", "write h2o+quest"},
		{"quest+dsa", "decide the same thing"},
		{"h2o+tova", "decide the same thing"},
	}
	for _, tt := range tests {
		if _, err := Parse([]string{tt.spec}, budgets(t, "25%")); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.spec, err, tt.want)
		}
	}
}

// TestOnlineFits: budgets that leave nothing to choose, and traces that lack queries.
func TestOnlineFits(t *testing.T) {
	tests := []struct {
		spec       string
		firstQuery int
		want       string // "" where it applies
	}{
		{"h2o:budget=20", 0, ""},
		{"h2o:budget=20", 1, "needs the queries of the whole prompt"},
		{"h2o:budget=100", 90, "needs the queries of the whole prompt"}, // evicts while decoding
		{"h2o:budget=128", 90, ""},
		{"h2o:budget=100,variant=kvcache-factory", 90, ""},
		{"h2o:budget=20,heavy=20", 0, "want at least 1 recent"},
		{"h2o:budget=20,heavy=5,recent=5", 0, "heavy + recent = 10 is not the budget of 20 entries"},
		{"h2o:budget=8,variant=pyramidkv", 0, "below window + 1 = 9"},
		{"h2o:budget=1,variant=kvpress", 0, ""},
		{"corm:recent=8,window=50", 47, "needs the prompt queries from token 46 on"},
		{"corm:recent=8,window=50", 46, ""},
		{"corm:recent=8,window=200", 1, "needs the prompt queries from token 0 on"},
		{"corm:recent=100,window=20", 82, "needs the prompt queries from token 81 on"}, // the step of token 100 evicts
		{"corm:recent=100,window=20", 81, ""},
		{"corm:recent=112,window=20", 96, ""}, // nothing goes
		{"corm:recent=100,window=113", 96, ""},
		{"snapkv:budget=96", 96, ""},
		{"snapkv:budget=96,interval=4", 89, "needs the last 8 prompt queries, from token 88 on"},
		{"snapkv:budget=96,interval=4", 88, ""},
		{"snapkv:budget=105,interval=4,window=100", 0, ""},
		{"snapkv:budget=112,interval=4", 96, ""},
		{"dsa", 96, "needs queries of the prompt"},
		{"dsa:index=oracle", 96, ""},
		{"tova:budget=1", 95, ""},
		{"tova:budget=1", 96, "needs the query of token 95"},
		{"scissorhands:budget=18", 0, "leaves 9 entries"},
		{"scissorhands:budget=19", 0, ""},
		{"scissorhands:budget=40,history=50", 47, "needs the prompt queries from token 46 on"},
		{"scissorhands:budget=40,history=50", 46, ""},
		{"rkv:budget=8", 0, "below window + 1 = 9"},
		{"rkv:budget=40", 89, "needs the last 8 prompt queries"},
		{"duoattention", 96, "needs queries of the prompt"},
		{"duoattention:full=100%", 96, ""},
		{"rocketkv:budget=30", 0, ""},
		{"rocketkv:budget=5", 0, "not more than the window of 32"},
		{"rocketkv:budget=32,preset=trtllm", 0, "below window + 1 = 33"},
		{"rocketkv:budget=33,preset=trtllm", 64, ""},
		{"rocketkv:budget=33,preset=trtllm", 65, "needs the last 32 prompt queries"},
		{"rocketkv:budget=96,preset=trtllm", 96, ""},
		{"snapkv:budget=40+rocketkv:preset=trtllm", 0, "does not come after another eviction"},
		{"snapkv:budget=20,interval=8+quest", 0, "must not move"},
		{"snapkv:budget=20+quest", 0, ""},
		{"snapkv:budget=20+rocketkv", 0, "does not come after another eviction"},
		{"mla:rank=20,rope=pre+quest", 0, "rebuilds them at every step"},
	}
	for _, tt := range tests {
		ps, err := Parse([]string{tt.spec}, budgets(t, "25%"))
		if err != nil {
			t.Fatal(err)
		}
		err = ps[0].Fit(Cell{
			Layers: []int{0}, NumLayers: 4, QHeads: 4, HeadDim: 16, RopeDims: 16, Heads: 2, Dim: 16, VDim: 16, HasRope: true,
			SeqLen: 112, Decode: 16, FirstQuery: tt.firstQuery,
		})
		if got := "applies"; err == nil && tt.want != "" || err != nil && (tt.want == "" || !strings.Contains(err.Error(), tt.want)) {
			if err != nil {
				got = err.Error()
			}
			t.Errorf("%s with queries from token %d on: %s, want %q", tt.spec, tt.firstQuery, got, tt.want)
		}
	}
}
