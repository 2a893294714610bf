package method

import "kvgauge/sim/cache"

func init() {
	Register(Info{
		Name: "snapkv", Family: Eviction,
		Summary:  "prompt entries that the last queries attend to, pooled over neighbours, and those queries' own",
		Reduces:  "entries",
		Paper:    "Li et al. 2024, arXiv:2404.14469, section 4",
		Code:     "FasterDecoding/SnapKV snapkv/monkeypatch/snapkv_utils.py; Zefan-Cai/KVCache-Factory pyramidkv/pyramidkv_utils.py (SnapKVCluster)",
		Params:   append(observationParams(), intervalParam),
		Seed:     []string{"snapkv"},
		Variants: []string{"layout=query", "agg=max,pool=avg", "pool=none", "window=5", "interval=8"},
		Combined: []string{
			"mha+snapkv:budget=33%", "cla+snapkv", "cla:scores=producer+snapkv", "cla:calibrated=on+snapkv",
			"mla:rank=40+snapkv", "lowrank:rope=post+snapkv",
		},
		New: func(a Args) (Method, error) { return snapKV{newObservation(a)}, nil },
	})
}

// snapKV is eviction by an observation window (Li et al. 2024). It decides once, at the end of the prompt; the cache
// then grows by one entry a step.
//
// Differs: the official code repeats K and V to the query heads and keeps a set for each, which costs a
// group's size more; the default here decides per KV head on the mean of the group (layout=query gives
// the official layout).
type snapKV struct{ observation }

// Decide keeps the best budget - window entries and the window.
func (m snapKV) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	keep, warnings := m.entries(c, v)
	d := m.decide(c, v, keep)
	d.Warnings = warnings
	return d, nil
}

// size is that of the budget.
func (m snapKV) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(m.budget.Of(c.SeqLen))
	return nil
}

// entries is the budget.
func (m snapKV) entries(c Cell, v *cache.View) (int, []cache.Warning) {
	budget := m.budget.Of(c.SeqLen)
	return budget, aboveLength(budget, v.Rows(0), "prompt")
}
