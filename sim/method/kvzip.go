package method

import (
	"errors"
	"fmt"
	"math"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "kvzip", Family: Eviction,
		Summary: "entries of the context that the model looks at while it repeats the context",
		Reduces: "entries",
		Paper:   "Kim et al. 2025, arXiv:2505.23416, section 3",
		Code:    "snu-mllab/KVzip; NVIDIA/kvpress kvpress/presses/kvzip_press.py",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries of the context kept per KV head"},
		},
		New: func(a Args) (Method, error) { return kvZip{a.Budget("budget")}, nil },
	})
}

// kvZip scores an entry by the largest probability that a query of a second pass over the context gives it. A
// trace has such a pass where it names the tokens that repeat the context before them; no other attention
// stands in for it.
//
// Differs: the pass is part of the trace's prompt, and the queries after it saw its keys: these stay. Its
// queries see all keys up to themselves, where the official code shows them the system prompt, a chunk of
// 2,000 tokens and the repetition alone. Of the official levels this is the uniform one, the best of each KV
// head; the default there is one threshold over all layers and heads.
type kvZip struct{ budget Entries }

var _ Method = kvZip{}

// Fit refuses a trace without a second pass in the prompt.
func (m kvZip) Fit(c Cell) (Cell, error) {
	switch {
	case c.RepeatEnd == 0:
		return c, errors.New("needs queries of a second pass over the context: the trace's metadata has no repeat_span")
	case c.RepeatEnd > c.Prompt():
		return c, fmt.Errorf("the second pass over the context ends at token %d, after the prompt of %d", c.RepeatEnd-1, c.Prompt())
	case c.FirstQuery > c.Repeat:
		return c, fmt.Errorf("needs the queries from token %d on; the trace holds those from token %d on", c.Repeat, c.FirstQuery)
	}
	return c, nil
}

// Decide keeps the best entries of the context and everything after it.
func (m kvZip) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget := m.budget.Of(c.SeqLen)
	if budget >= c.Repeat {
		return cache.Decision{Warnings: aboveLength(budget, c.Repeat-1, "context")}, nil
	}
	d := cache.Decision{Keep: make([][]int32, v.Heads())}
	c.Pool.Run(v.Heads(), func(_, j int) {
		d.Keep[j] = append(topK(m.scores(c, v, j), budget), span(c.Repeat, v.Rows(j))...)
	})
	return d, nil
}

// scores are the largest probabilities of a stored head's rows before the second pass.
func (m kvZip) scores(c Cell, v *cache.View, j int) []float64 {
	const batch = 32 // queries looked at together; bounds memory
	scores := make([]float64, c.Repeat)
	keys := v.K[j][:c.RepeatEnd*v.Dim]
	for lo := c.Repeat; lo < c.RepeatEnd; lo += batch {
		hi := min(lo+batch, c.RepeatEnd)
		var sees []int
		for i := lo; i < hi; i++ {
			sees = append(sees, i+1)
		}
		for _, layer := range v.Q {
			for h := j * v.Group(); h < (j+1)*v.Group(); h++ {
				q := layer[h][(lo-v.FirstQuery)*v.Dim : (hi-v.FirstQuery)*v.Dim]
				logits, lse := kernel.LogitsExact(q, v.Dim, v.Scale, keys, sees)
				for s := range sees {
					row := logits[s*c.RepeatEnd:]
					for i := range scores {
						scores[i] = max(scores[i], math.Exp(row[i]-lse[s]))
					}
				}
			}
		}
	}
	return scores
}
