package method

import (
	"fmt"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "bestrank", Family: Bound,
		Summary: "one latent row per token in the basis that holds most energy of this very sequence: the future known",
		Reduces: "rank",
		Paper:   "no paper: the upper bound of this tool on the energy that a latent of keys and values can hold (Eckart and Young 1936)",
		Params: []Param{
			{Name: "rank", Min: 1, Max: 1 << 20, Auto: "a quarter of the channels of all keys and values", Help: "channels of the latent row"},
		},
		Knob: "rank",
		New:  func(a Args) (Method, error) { return bestRank{a.Int("rank")}, nil },
	})
}

// bestRank is a truncated singular value decomposition (Eckart and Young 1936): it stores the projection of [K | V],
// all heads side by side and not centred, on the leading right singular vectors of the whole sequence, decoded tokens
// included. No linear latent of that rank holds more of its energy, whatever text it was fitted on. The cache is
// charged for the rows, as that of any latent of the rank, and not for the basis, which no server could have.
type bestRank struct{ rank int }

var (
	_ seer  = bestRank{}
	_ tuner = bestRank{}
)

// of resolves the rank in a cell whose keys and values have full channels side by side.
func (m bestRank) of(full int) int {
	if m.rank == 0 {
		return max(1, full/4)
	}
	return m.rank
}

// Fit refuses a rank above the full one, and rows that queries no longer read head by head.
func (m bestRank) Fit(c Cell) (Cell, error) {
	full := c.Heads * (c.Dim + c.VDim)
	rank := m.of(full)
	err := unfitted(c, "needs keys and values as the model makes them, not rows that maps were fitted to")
	if err == nil && rank > full {
		err = fmt.Errorf("rank=%d is more than the %d channels of all keys and values", rank, full)
	}
	c.Heads, c.Dim, c.VDim, c.Folded, c.HasRope = 1, rank, rank, true, false
	return c, err
}

// settings are the ranks that save something.
func (bestRank) settings(c Cell) []string { return integers(1, c.Heads*(c.Dim+c.VDim)-1) }

// Decide keeps everything; a pipeline calls foresee instead.
func (bestRank) Decide(Cell, *cache.View) (cache.Decision, error) { return cache.Decision{}, nil }

// size is that of latent rows.
func (bestRank) size(_ Cell, _ []int, s *cache.Size) error {
	s.Shape.Latent = true
	return nil
}

// foresee fits the basis on the prompt and what comes after it.
func (m bestRank) foresee(_ Cell, prompt, future *cache.View) (cache.Decision, error) {
	all := *prompt
	all.K, all.V = joined(prompt.K, future.K), joined(prompt.V, future.V)
	rank := m.of(prompt.Heads() * (prompt.Dim + prompt.VDim))
	return cache.Decision{Map: newAbsorbed(&all, all.K, rank, unbalanced)}, nil
}

// joined returns the rows of each head, those of b after those of a.
func joined(a, b [][]float32) [][]float32 {
	var out [][]float32
	for j := range a {
		out = append(out, append(append([]float32(nil), a[j]...), b[j]...))
	}
	return out
}
