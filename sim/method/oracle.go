package method

import (
	"math"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "oracle", Family: Bound,
		Summary: "prompt entries that the decoded queries will attend to most: the future known",
		Reduces: "entries",
		Paper:   "no paper: the upper bound of this tool on the mass that one-shot eviction can hold",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries kept per KV head"},
		},
		Seed: []string{"oracle"},
		New:  func(a Args) (Method, error) { return oracle{a.Budget("budget")}, nil },
	})
}

// oracle is the upper bound of one-shot eviction: it keeps, per KV head, the prompt entries with the largest share of
// the exact attention on keys, sinks left out, summed over the decoded queries and the query heads of the group. At equal counts per head no one-shot
// choice holds more of that mass.
type oracle struct{ budget Entries }

var _ seer = oracle{}

// Fit accepts every cell.
func (oracle) Fit(c Cell) (Cell, error) { return c, nil }

// Decide keeps everything; a pipeline calls foresee instead.
func (oracle) Decide(Cell, *cache.View) (cache.Decision, error) { return cache.Decision{}, nil }

// size is that of the budget.
func (m oracle) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(m.budget.Of(c.SeqLen))
	return nil
}

// foresee keeps the entries that matter most.
func (m oracle) foresee(c Cell, prompt, future *cache.View) (cache.Decision, error) {
	return keepBest(c, prompt, m.budget.Of(c.SeqLen), func(j int) []float64 { return mass(prompt, future, j) }), nil
}

// mass sums, for each prompt row of a stored head, its exact probability over the future queries.
func mass(prompt, future *cache.View, j int) []float64 {
	rows, dim, group := prompt.Rows(0), prompt.Dim, prompt.Group()
	k := append(append([]float32(nil), prompt.K[j]...), future.K[j]...)
	all := len(k) / dim
	sum := make([]float64, rows)
	for l, layer := range future.Q {
		sees := kernel.Sights(future.FirstQuery, len(layer[0])/dim)
		for s := range sees {
			sees[s].Rows = min(all, sees[s].Rows)
		}
		for h := j * group; h < (j+1)*group; h++ {
			logits, lse := kernel.LogitsExact(layer[h], dim, future.Rules[l][h].WithoutSink(), k, nil, sees)
			for s := range sees {
				for i := range sum {
					sum[i] += math.Exp(logits[s*all+i] - lse[s])
				}
			}
		}
	}
	return sum
}
