package method

import "kvgauge/sim/cache"

func init() {
	Register(Info{
		Name: "full", Family: Baseline,
		Summary:  "every key and value of the trace's own heads, in f16: the reference",
		Reduces:  "nothing",
		Paper:    "Vaswani et al. 2017, arXiv:1706.03762",
		Seed:     []string{"full"},
		Lossless: []string{""},
		New:      func(Args) (Method, error) { return full{}, nil },
	})
}

// full is the cache of attention as it is (Vaswani et al. 2017): it reduces nothing. Its error is that of f16
// storage, the noise floor.
type full struct{}

// Fit accepts every cell.
func (full) Fit(c Cell) (Cell, error) { return c, nil }

// Decide keeps everything.
func (full) Decide(Cell, *cache.View) (cache.Decision, error) { return cache.Decision{}, nil }

// size is that of the shape.
func (full) size(Cell, []int, *cache.Size) error { return nil }
