package method

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "tova", Family: Eviction,
		Summary: "entries that the current query attends to most, the same for all heads of a layer",
		Reduces: "entries",
		Paper:   "Oren et al. 2024, arXiv:2401.06104, section 3.2",
		Code:    "schwartz-lab-NLP/TOVA src/tova_cache.py (TOVACache.reduce); NVIDIA/kvpress kvpress/presses/tova_press.py",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries kept per KV head"},
			{Name: "variant", Kind: Choice, Default: "online", Choices: []string{"online", "kvpress"}, Help: "evicting at every step, or once at the end of the prompt with the last token kept"},
		},
		Variants: []string{"variant=kvpress"},
		Combined: []string{"cla+tova", "mla:rank=40+tova"},
		Traits:   where("variant", "online", DropsNewest),
		New:      func(a Args) (Method, error) { return tova{a.Budget("budget"), a["variant"] == "kvpress"}, nil },
	})
}

// tova is token omission via attention (Oren et al. 2024): it ranks entries by the mean over all query heads of the
// layer of the last query's probabilities, and keeps one set for the layer. Nothing is remembered from step to step,
// and nothing is protected: the newest entry may go at once. The prompt is cut once, by its last query.
//
// The variant kvpress decides at the end of the prompt alone, and keeps the last token.
type tova struct {
	budget  Entries
	kvpress bool
}

// Fit refuses a trace without the last prompt query.
func (m tova) Fit(c Cell) (Cell, error) {
	c.Moving = !m.kvpress
	if last := c.Prompt() - 1; m.budget.Of(c.SeqLen) < c.Prompt() {
		return c, queriesFrom(c, last, "the query of token %d, the last of the prompt", last)
	}
	return c, nil
}

// Decide cuts the prompt.
func (m tova) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget, rows := m.budget.Of(c.SeqLen), v.Rows(0)
	d := cache.Decision{Warnings: aboveLength(budget, rows, "prompt")}
	if !m.kvpress {
		d.Warnings = aboveLength(budget, c.SeqLen, "sequence")
		if budget < c.SeqLen {
			d.Policy = tovaPolicy{budget}
		}
	}
	if budget >= rows {
		return d, nil
	}
	scores := lastQuery(c, v)
	if m.kvpress {
		scores[rows-1] = math.Inf(1)
	}
	d.Keep = slices.Repeat([][]int32{topK(scores, budget)}, v.Heads())
	return d, nil
}

// size is that of the budget.
func (m tova) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(m.budget.Of(c.SeqLen))
	return nil
}

// lastQuery returns the probabilities that the last prompt query gives the rows, as the mean over all query
// heads and the layers that share the store. A key is read once for all query heads that read it.
func lastQuery(c Cell, v *cache.View) []float64 {
	rows, group := v.Rows(0), v.Group()
	perHead := make([][]float64, v.Heads())
	c.Pool.Run(len(perHead), func(_, j int) {
		sum, q := make([]float64, rows), make([]float32, 0, group*v.Dim)
		for l, layer := range v.Q {
			q = q[:0]
			for _, head := range layer[j*group : (j+1)*group] {
				q = append(q, head[len(head)-v.Dim:]...)
			}
			rules := v.Rules[l][j*group : (j+1)*group]
			logits := kernel.DotsExact(q, v.Dim, rules[0].Scale, v.K[j])
			for g := range rules {
				p := logits[g*rows : (g+1)*rows]
				attention(p, rules[g], v.Pos[j], v.Tokens()-1)
				floats.Add(sum, p)
			}
		}
		perHead[j] = sum
	})
	mean := perHead[0]
	for _, sum := range perHead[1:] {
		floats.Add(mean, sum)
	}
	floats.Scale(1/float64(len(v.Q)*v.QHeads()), mean)
	return mean
}

// tovaPolicy drops the entry that the current query attends to least.
type tovaPolicy struct{ budget int }

// Watches is true.
func (tovaPolicy) Watches() bool { return true }

// After adds up the probabilities of all heads, which hold the same entries in the same order, and above the
// budget drops one entry: a step appends one.
func (p tovaPolicy) After(s *cache.Step) {
	first := &s.Heads[0]
	if len(first.Pos) <= p.budget {
		return
	}
	for _, h := range s.Heads {
		for _, probs := range h.Probs {
			kernel.Axpy(1, probs, first.Score)
		}
	}
	if !s.Last {
		return
	}
	worst := 0
	for i, x := range first.Score {
		if least := first.Score[worst]; x < least || x == least && first.Pos[i] > first.Pos[worst] {
			worst = i
		}
	}
	for j := range s.Heads {
		s.Heads[j].Evict = append(s.Heads[j].Evict, int32(worst))
	}
}
