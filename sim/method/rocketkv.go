package method

import (
	"errors"
	"fmt"
	"math"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "rocketkv", Family: Selection,
		Summary: "evicts a part of the prompt once, and reads a part of the rest at each step, chosen in two dimensions",
		Reduces: "reads",
		Paper:   "Behnam et al. 2025, arXiv:2502.14051, section 3",
		Code:    "NVlabs/RocketKV; NVIDIA/TensorRT-LLM tensorrt_llm/_torch/attention_backend/sparse/rocket",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "nvlabs: entries' worth of traffic of a step, half of it read as entries, the rest what choosing them may read; trtllm: entries that the prompt keeps, window included, 2048 by its own default"},
			{Name: "preset", Kind: Choice, Default: "nvlabs", Choices: []string{"nvlabs", "trtllm"}, Help: "the authors' code, which derives both halves from the budget, or TensorRT-LLM's, which is told each"},
			{Name: "window", Default: "32", Min: 1, Max: 1 << 20, Help: "last prompt queries that score, and keys always kept"},
			{Name: "kernel", Default: "63", Min: 1, Max: 1<<20 - 1, Odd: true, Help: "width of the maximum pooling over positions"},
			{Name: "page", Default: "4", Min: 1, Max: 1 << 20, Help: "trtllm: entries that share bounds"},
			{Name: "topk", Default: "64", Min: 1, Max: 1 << 20, Help: "trtllm: pages that a step reads"},
			{Name: "topr", Default: "128", Min: 1, Max: 1 << 20, Help: "trtllm: channels of the queries that a step chooses by; at most those there are"},
		},
		Knob: "budget",
		Variants: []string{
			"window=8", "budget=40,window=8", "preset=trtllm,window=8", "budget=20,preset=trtllm,topk=3,topr=5,window=8",
			"budget=40,page=3,preset=trtllm,topk=5,topr=20,window=8",
		},
		Combined: []string{"mla:rank=40+rocketkv:budget=40,preset=trtllm,topk=5,window=8"},
		Traits:   where("preset", "nvlabs", AsksDecode),
		New:      newRocketKV,
	})
}

// newRocketKV makes the method of a preset.
func newRocketKV(a Args) (Method, error) {
	m := rocketKV{a.Budget("budget"), a.Int("window"), a.Int("kernel")}
	switch {
	case a["preset"] == "trtllm":
		return rocketTRT{
			prompt: observation{budget: m.budget, window: m.window, kernel: m.kernel, pooling: "max", agg: "sum", before: true},
			read:   rocketPages{page: a.Int("page"), top: a.Int("topk"), channels: a.Int("topr")},
		}, nil
	case a["page"] != "4" || a["topk"] != "64" || a["topr"] != "128":
		return nil, errors.New("page, topk and topr are of preset=trtllm: preset=nvlabs derives them from the budget")
	}
	return m, nil
}

// rocketKV is two-stage compression (Behnam et al. 2025): it splits the compression that the budget asks for between
// an eviction at the end of the prompt, which is SnapKV's with sums and a wide pooling, and a choice at each step.
// The choice scores chunks of entries by the bounds of their keys over the channels in which the group's queries are
// largest, and reads the best entries, one set per KV head.
//
// What a decoded token needs is left room for: the prompt keeps the capacity less the tokens to be decoded.
type rocketKV struct {
	budget         Entries
	window, kernel int
}

var _ tuner = rocketKV{}

// rocketPlan is how the compression is split.
type rocketPlan struct {
	prompt int // entries that the prompt keeps
	top    int // entries that a step reads
	chunk  int // entries that share bounds
	width  int // channels that a step scores
}

// plan splits it, for keys of dim channels. It reports false where the budget holds the prompt. The exponent
// alpha of the first part grows with the compression, to 0.8 at most; the second part is split evenly between
// chunks and channels.
func (m rocketKV) plan(c Cell) (p rocketPlan, compress bool) {
	budget, prompt := m.budget.Of(c.SeqLen), c.Prompt()
	ratio := float64(prompt) / float64(budget)
	if ratio <= 1 {
		return p, false
	}
	alpha := min(0.2+0.06*math.Log2(ratio), 0.8)
	capacity := max(int(float64(prompt)/math.Pow(ratio, alpha)), min(2*c.Decode, prompt))
	rest := max(1, float64(capacity)/float64(budget))
	p = rocketPlan{prompt: capacity - c.Decode, top: max(1, budget/2), chunk: int(math.Ceil(math.Sqrt(rest)))}
	if float64(p.chunk) > rest {
		p.chunk = 1
	}
	p.width = max(1, int(float64(c.Dim*p.chunk)/rest))
	return p, true
}

// settings are the budgets that do not hold the prompt. From there on nothing is evicted and nothing chosen, so that
// the cache is smaller by the bounds of the chunks.
func (rocketKV) settings(c Cell) []string { return integers(1, c.Prompt()-1) }

// Fit refuses entries that move or are gone, and a prompt that keeps no more than its window.
func (m rocketKV) Fit(c Cell) (Cell, error) {
	p, compress := m.plan(c)
	switch err := onlyEviction(c); {
	case err != nil || !compress:
		return c, err
	case p.prompt <= m.window:
		return c, fmt.Errorf("budget of %s leaves the prompt %d entries, not more than the window of %d", m.budget.describe(c.SeqLen), p.prompt, m.window)
	}
	return c, lastQueries(c, m.window)
}

// Decide evicts and leaves the choice to the steps.
func (m rocketKV) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	p, compress := m.plan(c)
	if !compress {
		return cache.Decision{Warnings: aboveLength(m.budget.Of(c.SeqLen), c.Prompt(), "prompt")}, nil
	}
	snap := observation{window: m.window, kernel: m.kernel, pooling: "max", agg: "sum"}
	d := snap.decide(c, v, p.prompt)
	d.Select = rocketSelector(p)
	return d, nil
}

// size is that of what the prompt keeps and the bounds of its chunks, of two bytes a channel.
func (m rocketKV) size(c Cell, _ []int, s *cache.Size) error {
	p, compress := m.plan(c)
	if !compress {
		return nil
	}
	s.Keep(p.prompt)
	bounds := int64(min(p.chunk, 2)) // of a chunk of one entry the key itself
	s.Index = func(s cache.Size) int64 {
		var n int64
		for _, rows := range s.Rows {
			n += bounds * 2 * int64(s.Shape.K) * int64((rows+p.chunk-1)/p.chunk)
		}
		return n
	}
	return nil
}
