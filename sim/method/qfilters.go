package method

import (
	"cmp"
	"errors"
	"math"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "qfilters", Family: Eviction,
		Summary: "prompt entries whose keys point furthest along the main direction of the queries of the model's other texts",
		Reduces: "entries",
		Paper:   "Godey et al. 2025, arXiv:2503.02812",
		Code:    "NathanGodey/qfilters make_filters.py, src/hf_cache.py (QFiltersCache); NVIDIA/kvpress kvpress/presses/qfilter_press.py",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries kept per KV head"},
			{Name: "recent", Default: "0", Max: 1 << 30, Help: "last prompt entries that are always among them; the example of the authors' code keeps 64"},
		},
		Variants: []string{"recent=9"},
		Combined: []string{"cla+qfilters", "mla:rank=40+qfilters"},
		New:      func(a Args) (Method, error) { return qFilters{a.Budget("budget"), a.Int("recent")}, nil },
	})
}

// qFilters is eviction by projection on query filters (Godey et al. 2025): it scores a key by its product with a
// filter that a text of the model tells once for all: the mean over a KV head's group of the first right singular
// vectors of its heads' queries, after the rotary embedding and not centred, each with the sign that points to where
// most of the queries are. It needs no recent queries.
//
// Differs: published filters are made of 3,000 queries a head, drawn from several texts; here of all that the one text
// holds. The authors' cache cuts again at each decoded token; here the prompt is cut once, at its end, as in
// kvpress, which protects nothing.
type qFilters struct {
	budget Entries
	recent int
}

var _ learner = qFilters{}

// Fit refuses a budget that the protected entries fill, and a trace without the prompt's queries.
func (m qFilters) Fit(c Cell) (Cell, error) {
	var err error
	if m.budget.Of(c.SeqLen) < c.Prompt() {
		err = someQueries(c, "queries of the prompt")
	}
	return c, cmp.Or(err, roomFor(c, m.recent, "recent", m.budget))
}

// fits says that filters are learned.
func (qFilters) fits() bool { return true }

// Decide is not called: filters are always learned.
func (qFilters) Decide(Cell, *cache.View) (cache.Decision, error) {
	return cache.Decision{}, errors.New("qfilters: no filters")
}

// size is that of the budget.
func (m qFilters) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(m.budget.Of(c.SeqLen))
	return nil
}

// fitMap learns a filter for each stored head, [head][dim] of 4 bytes a channel. Layers that share a cache share
// it.
func (qFilters) fitMap(c Cell, on *cache.View) (cache.Decision, error) {
	filters := make([][]float32, on.Heads())
	c.Pool.Run(len(filters), func(_, j int) {
		sum := make([]float64, on.Dim)
		for _, layer := range on.Q {
			for _, q := range layer[j*on.Group() : (j+1)*on.Group()] {
				for d, x := range mainDirection(q, on.Dim) {
					sum[d] += x / float64(on.Group()*len(on.Q))
				}
			}
		}
		for _, x := range sum {
			filters[j] = append(filters[j], float32(x))
		}
	})
	return cache.Decision{Learned: filters, Weights: 4 * int64(on.Heads()*on.Dim)}, nil
}

// mainDirection returns the first right singular vector of rows [n][dim], with the sign that makes more than half of them
// have a positive product with it; where it is half, so that the sum of the products is not negative. Of no
// rows it is zero.
func mainDirection(rows []float32, dim int) []float64 {
	direction := make([]float64, dim)
	if len(rows) == 0 {
		return direction
	}
	x := sideBySide([][]float32{rows}, dim, 1)
	mat.Col(direction, 0, principal(x, 1))
	var along mat.VecDense
	along.MulVec(x, mat.NewVecDense(dim, direction))
	positive := 0
	for _, p := range along.RawVector().Data {
		if p > 0 {
			positive++
		}
	}
	if n := along.Len(); 2*positive < n || 2*positive == n && mat.Sum(&along) < 0 {
		for d := range direction {
			direction[d] = -direction[d]
		}
	}
	return direction
}

// apply keeps the best keys of each head.
func (m qFilters) apply(c Cell, v *cache.View, learned cache.Decision) (cache.Decision, error) {
	filters := learned.Learned.([][]float32)
	kept := keepBest(c, v, m.budget.Of(c.SeqLen), func(j int) []float64 {
		scores := make([]float64, v.Rows(j))
		for i := range scores {
			for d, k := range row(v.K[j], v.Dim, i) {
				scores[i] += float64(k) * float64(filters[j][d])
			}
			if i >= len(scores)-m.recent {
				scores[i] = math.Inf(1)
			}
		}
		return scores
	})
	if kept.Keep == nil {
		return kept, nil // nothing was scored: no filter is needed
	}
	learned.Learned, learned.Keep = nil, kept.Keep
	return learned, nil
}
