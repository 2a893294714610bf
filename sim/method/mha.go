package method

import "kvgauge/sim/cache"

func init() {
	Register(Info{
		Name: "mha", Family: Sharing,
		Summary:  "a KV head for every query head: what a grouped cache costs when it is repeated",
		Reduces:  "heads",
		Paper:    "Vaswani et al. 2017, arXiv:1706.03762",
		Seed:     []string{"mha"},
		Lossless: []string{""},
		New:      func(Args) (Method, error) { return mha{}, nil },
	})
}

// mha is multi-head attention (Vaswani et al. 2017): it stores as many heads as there are query heads. On a trace
// with fewer KV heads each is repeated for its group: outputs equal those of full, bytes are larger by the size of a
// group.
type mha struct{}

// Fit accepts every cell.
func (mha) Fit(c Cell) (Cell, error) {
	c.Heads = c.QHeads
	return c, nil
}

// Decide repeats each head for the query heads that read it.
func (mha) Decide(_ Cell, v *cache.View) (cache.Decision, error) {
	if v.Group() == 1 {
		return cache.Decision{}, nil
	}
	return cache.Decision{Map: repeat(v.Heads(), v.Group())}, nil
}

// size is that of the shape.
func (mha) size(Cell, []int, *cache.Size) error { return nil }
