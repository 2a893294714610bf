package method

import (
	"slices"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "random", Family: Bound,
		Summary: "prompt entries drawn at random: what a policy must beat",
		Reduces: "entries",
		Paper:   "no paper: the lower bound of this tool",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries kept per KV head"},
			{Name: "recent", Default: "0", Max: 1 << 30, Help: "last prompt entries that are always among them"},
		},
		Seed:     []string{"random"},
		Variants: []string{"recent=9"},
		New: func(a Args) (Method, error) {
			return random{a.Budget("budget"), a.Int("recent")}, nil
		},
	})
}

// random is uniform sampling, the lower bound: it keeps entries drawn uniformly without replacement, per layer and KV
// head.
type random struct {
	budget Entries
	recent int
}

// Fit refuses a budget that the protected entries fill.
func (m random) Fit(c Cell) (Cell, error) { return c, roomFor(c, m.recent, "recent", m.budget) }

// Decide draws the entries of each head.
func (m random) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget, rows := m.budget.Of(c.SeqLen), v.Rows(0)
	d := cache.Decision{Warnings: aboveLength(budget, rows, "prompt")}
	if budget >= rows {
		return d, nil
	}
	for h := range v.Heads() {
		var keep []int32
		for _, i := range stream(c.Seed, v.Layers[0], h, 0).Perm(rows - m.recent)[:budget-m.recent] {
			keep = append(keep, int32(i))
		}
		slices.Sort(keep)
		d.Keep = append(d.Keep, append(keep, span(rows-m.recent, rows)...))
	}
	return d, nil
}

// size is that of the budget.
func (m random) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(m.budget.Of(c.SeqLen))
	return nil
}
