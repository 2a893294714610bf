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
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries of the context kept per KV head, with level=pair in the mean over heads and layers"},
			{Name: "level", Kind: Choice, Default: "pair", Choices: []string{"pair", "pair-uniform"}, Help: "entries above one threshold over all layers and heads, or the best of each head"},
		},
		Variants: []string{"level=pair-uniform"},
		Traits:   where("level", "pair", Uneven),
		New: func(a Args) (Method, error) {
			if a["level"] == "pair-uniform" {
				return kvZipUniform{kvZip{a.Budget("budget")}}, nil
			}
			return kvZipPair{kvZip{a.Budget("budget")}}, nil
		},
	})
}

// kvZip is eviction by reconstruction of the context (Kim et al. 2025): it scores an entry by the largest probability
// that a query of a second pass over the context gives it. A trace has such a pass where it names the tokens that
// repeat the context before them; no other attention stands in for it.
//
// Differs: the pass is part of the trace's prompt, and the queries after it saw its keys: these stay. Its
// queries see all keys up to themselves, where the official code shows them the system prompt, a chunk of
// 2,000 tokens and the repetition alone. The official code has a third level, whole heads, whose scores it
// loads from files that were made on other texts.
type kvZip struct{ budget Entries }

// kvZipPair keeps the entries whose scores are above one threshold: of all layers' and heads' scores in falling
// order the one at the place of the budget, which is lost itself, with its equals. The store is ragged and
// must keep where each head's entries begin, an int32 a head and one for the end.
type kvZipPair struct{ kvZip }

// kvZipUniform keeps the best entries of each head.
type kvZipUniform struct{ kvZip }

var _ observer = kvZipPair{}

// Fit refuses a trace without a second pass in the prompt.
func (m kvZip) Fit(c Cell) (Cell, error) {
	switch {
	case c.RepeatEnd == 0:
		return c, errors.New("needs queries of a second pass over the context: the trace's metadata has no repeat_span")
	case c.RepeatEnd > c.Prompt():
		return c, fmt.Errorf("the second pass over the context ends at token %d, after the prompt of %d", c.RepeatEnd-1, c.Prompt())
	}
	return c, queriesFrom(c, c.Repeat, "the queries from token %d on", c.Repeat)
}

// whole says whether the whole context stays.
func (m kvZip) whole(c Cell) bool { return m.budget.Of(c.SeqLen) >= c.Repeat }

// kept is the decision to keep some entries of the context, by head, and everything after it.
func (m kvZip) kept(c Cell, v *cache.View, choose func(j int) []int32) (d cache.Decision) {
	d.Warnings = aboveLength(m.budget.Of(c.SeqLen), c.Repeat-1, "context")
	if m.whole(c) {
		return d
	}
	d.Keep = make([][]int32, v.Heads())
	c.Pool.Run(v.Heads(), func(_, j int) { d.Keep[j] = append(choose(j), span(c.Repeat, v.Rows(j))...) })
	return d
}

// Decide keeps the best entries of each head.
func (m kvZipUniform) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget := m.budget.Of(c.SeqLen)
	return m.kept(c, v, func(j int) []int32 { return topK(m.scores(c, v, j), budget) }), nil
}

// Fit refuses a part of a model too.
func (m kvZipPair) Fit(c Cell) (Cell, error) {
	if err := wholeModel(c, "level=pair has one threshold over all layers"); err != nil {
		return c, err
	}
	return m.kvZip.Fit(c)
}

// observe returns the scores of the layer's context: [stored head * context + entry].
func (m kvZipPair) observe(c Cell, v *cache.View, _ any) ([]float64, error) {
	if m.whole(c) {
		return nil, nil
	}
	scores := make([]float64, v.Heads()*c.Repeat)
	c.Pool.Run(v.Heads(), func(_, j int) { copy(scores[j*c.Repeat:], m.scores(c, v, j)) })
	return scores, nil
}

// Decide keeps the entries above the threshold.
func (m kvZipPair) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	threshold := m.threshold(c)
	scores := c.Observed[v.Layers[0]]
	d := m.kept(c, v, func(j int) (above []int32) {
		for i, x := range scores[j*c.Repeat : (j+1)*c.Repeat] {
			if x > threshold {
				above = append(above, int32(i))
			}
		}
		return above
	})
	d.MetaPerStore = 4 * int64(v.Heads()+1)
	return d, nil
}

// threshold is the score at the budget's place among those of all layers.
func (m kvZipPair) threshold(c Cell) float64 {
	if m.whole(c) {
		return 0
	}
	var all []float64
	for _, scores := range c.Observed {
		all = append(all, scores...)
	}
	return kthHighest(all, m.budget.Of(c.SeqLen)*len(all)/c.Repeat)
}

// scores are the largest probabilities of a stored head's rows before the second pass.
func (m kvZip) scores(c Cell, v *cache.View, j int) []float64 {
	const batch = 32 // queries looked at together; bounds memory
	scores := make([]float64, c.Repeat)
	keys := v.K[j][:c.RepeatEnd*v.Dim]
	for lo := c.Repeat; lo < c.RepeatEnd; lo += batch {
		hi := min(lo+batch, c.RepeatEnd)
		sees := kernel.Sights(lo, hi-lo)
		for l, layer := range v.Q {
			for h := j * v.Group(); h < (j+1)*v.Group(); h++ {
				q := layer[h][(lo-v.FirstQuery)*v.Dim : (hi-v.FirstQuery)*v.Dim]
				logits, lse := kernel.LogitsExact(q, v.Dim, v.Rules[l][h], keys, nil, sees)
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
