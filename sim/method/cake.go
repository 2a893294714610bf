package method

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "cake", Family: Eviction,
		Summary: "entries that recent queries attend to much or unevenly, with more of them in layers whose attention spreads and shifts",
		Reduces: "entries",
		Paper:   "Qin et al. 2025, arXiv:2503.12491",
		Code:    "antgroup/cakekv cake/cake_cache.py, cake/utils.py (adjust_budgets), cake/model/modify_llama.py",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries kept per KV head in the mean over layers, window included"},
			{Name: "window", Default: "32", Min: 2, Max: 1 << 20, Help: "last prompt queries that score, and keys always kept"},
			{Name: "kernel", Default: "5", Min: 1, Max: 1<<20 - 1, Odd: true, Help: "width of the average pooling over positions"},
			{Name: "gamma", Kind: Real, Default: "200", Help: "weight of the variance over queries in an entry's score"},
			{Name: "tau1", Kind: Real, Default: "1", Help: "a layer's preference takes the entropy to the power 1/tau1"},
			{Name: "tau2", Kind: Real, Default: "1", Help: "and the variance to the power 1/tau2; the code's configurations tune both by model and budget"},
		},
		Variants: []string{"window=8"},
		Combined: []string{"cla+cake:window=8", "mla:rank=40+cake:window=8"},
		Traits:   always(Uneven),
		New: func(a Args) (Method, error) {
			return cake{
				budget: a.Budget("budget"), window: a.Int("window"), kernel: a.Int("kernel"),
				gamma: a.Real("gamma"), tau1: a.Real("tau1"), tau2: a.Real("tau2"),
			}, nil
		},
	})
}

// cake is cascading and adaptive eviction (Qin et al. 2025): it shares the budget of all layers out by their
// preference, and holds each layer to its share while decoding: after a step the entries before the last window ones
// go that this step's query attended to least, pooled over neighbours.
//
// Differs: the code pools, while decoding, over neighbours in the order in which its last top-k left the
// entries; here they are neighbours in position. Where layers share a store it has one share, and while
// decoding the last of them decides.
type cake struct {
	budget            Entries // window included
	window, kernel    int
	gamma, tau1, tau2 float64
}

var _ observer = cake{}

// Fit refuses what an observation does, and a part of a model.
func (m cake) Fit(c Cell) (Cell, error) {
	if err := wholeModel(c, "shares one budget out over all layers"); err != nil {
		return c, err
	}
	c.Moving = true
	return observation{budget: m.budget, window: m.window}.fit(c, max(0, c.Prompt()-m.window))
}

// whole says whether a prompt of that many rows stays as it is.
func (m cake) whole(c Cell, rows int) bool { return rows <= m.budget.Of(c.SeqLen)+m.window }

// observe returns the layer's preference: entropy and variance over queries of the attention before the window.
func (m cake) observe(c Cell, v *cache.View, _ any) ([]float64, error) {
	if m.whole(c, v.Rows(0)) {
		return []float64{0}, nil
	}
	entropy, variance := make([]float64, v.QHeads()), make([]float64, v.QHeads())
	c.Pool.Run(v.QHeads(), func(_, h int) {
		for l, layer := range v.Q {
			a := m.attention(v, layer[h], v.Rules[l][h], h/v.Group())
			for i := range a.mean {
				variance[h] += a.variance(i) / float64(len(v.Q))
			}
			entropy[h] += a.entropy / float64(len(v.Q))
		}
	})
	var e, s float64
	for h := range entropy {
		e, s = e+entropy[h], s+variance[h]
	}
	return []float64{math.Pow(e, 1/m.tau1) * math.Pow(s, 1/m.tau2)}, nil
}

// Decide keeps the layer's share of the budget, and holds it while decoding.
func (m cake) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget, rows := m.budget.Of(c.SeqLen), v.Rows(0)
	d := cache.Decision{Warnings: aboveLength(budget, c.SeqLen, "sequence")}
	share := budget - m.window
	if !m.whole(c, rows) {
		shares, cut := m.shares(c, rows-m.window)
		if cut {
			d.Warnings = append(d.Warnings, cache.Warning{
				Code: "clamped",
				Text: fmt.Sprintf("a layer's share is above the prompt's %d entries before the window: what is over goes to the others", rows-m.window),
			})
		}
		share = shares[v.Layers[0]]
		d.Keep = make([][]int32, v.Heads())
		c.Pool.Run(v.Heads(), func(_, j int) {
			d.Keep[j] = append(topK(m.scores(v, j), share), span(rows-m.window, rows)...)
		})
	}
	d.Policy = newCakePolicy(share, m.window, m.kernel, rows+c.Decode)
	return d, nil
}

// shares splits the budget of all groups of layers, windows apart, by their preferences; none gets more than
// most. It says whether one would have.
func (m cake) shares(c Cell, most int) (shares map[int]int, cut bool) {
	var groups []int
	for _, l := range c.Layers {
		if _, ok := c.Observed[l]; ok {
			groups = append(groups, l)
		}
	}
	var all float64
	for _, l := range groups {
		all += c.Observed[l][0]
	}
	total := (m.budget.Of(c.SeqLen) - m.window) * len(groups)
	ns := make([]int, len(groups))
	for i, l := range groups {
		part := c.Observed[l][0] / all
		if math.IsNaN(part) { // no layer has a preference, or one beyond the numbers
			part = 1 / float64(len(groups))
		}
		ns[i] = int(part * float64(total))
		cut = cut || ns[i] > most
	}
	adjust(ns, total, most)
	shares = map[int]int{}
	for i, l := range groups {
		shares[l] = min(ns[i], most)
	}
	return shares, cut
}

// adjust cuts shares to most and spreads what is over, and then what rounding left of the total, evenly over
// those below most, the first of them getting one more. A total that is exceeded is taken from those above 1.
func adjust(ns []int, total, most int) {
	over := 0
	for i, n := range ns {
		over += max(0, n-most)
		ns[i] = min(n, most)
	}
	below := func(n int) bool { return n < most }
	spread(ns, over, below)
	left := total
	for _, n := range ns {
		left -= n
	}
	if left < 0 {
		below = func(n int) bool { return n > 1 }
	}
	spread(ns, left, below)
}

// spread adds n evenly to the numbers that may change, and what is left over one by one to the first of them.
func spread(ns []int, n int, may func(int) bool) {
	var which []int
	for i, x := range ns {
		if may(x) {
			which = append(which, i)
		}
	}
	for k, i := range which {
		ns[i] += n / len(which)
		if rest := n % len(which); k < rest {
			ns[i]++
		} else if k < -rest {
			ns[i]--
		}
	}
}

// scores returns those of a stored head's rows before the window: mean and variance over the window's queries,
// pooled, the mean of the query heads that read it.
func (m cake) scores(v *cache.View, j int) []float64 {
	scores := make([]float64, v.Rows(j)-m.window)
	for l, layer := range v.Q {
		for h := j * v.Group(); h < (j+1)*v.Group(); h++ {
			a := m.attention(v, layer[h], v.Rules[l][h], j)
			for i, mean := range a.mean {
				scores[i] += (mean + m.gamma*a.variance(i)) / float64(v.Group()*len(v.Q))
			}
		}
	}
	return pooled(scores, "avg", m.kernel)
}

// cakeAttention is that of the window's queries of one query head on the rows before the window.
type cakeAttention struct {
	mean, squares []float64 // [row] over queries, and the sum of squared differences from it
	queries       int
	entropy       float64 // over all queries and rows
}

// variance is the sample's.
func (a cakeAttention) variance(i int) float64 { return a.squares[i] / float64(a.queries-1) }

// attention looks at the queries q of one query head and the rows of stored head j.
func (m cake) attention(v *cache.View, q []float32, rule kernel.Rule, j int) cakeAttention {
	rows := v.Rows(j)
	q = q[len(q)-m.window*v.Dim:]
	sees := lastSights(v, j, m.window)
	p, lse := kernel.LogitsExact(q, v.Dim, rule, v.K[j], v.Pos[j], sees)
	a := cakeAttention{make([]float64, rows-m.window), make([]float64, rows-m.window), m.window, 0}
	for s := range sees {
		for i := range a.mean {
			x := math.Exp(p[s*rows+i] - lse[s])
			p[s*rows+i] = x
			a.mean[i] += x / float64(m.window)
			a.entropy -= x * math.Log(x+1e-10)
		}
	}
	for s := range sees {
		for i, mean := range a.mean {
			a.squares[i] += (p[s*rows+i] - mean) * (p[s*rows+i] - mean)
		}
	}
	return a
}

// cakePolicy holds each head to share entries and a window. It keeps nothing between steps but memory.
type cakePolicy struct {
	share, window, kernel int
	order                 []int32   // entries by position
	scores, pooled        []float64 // in that order
}

// newCakePolicy makes one for heads of at most longest entries.
func newCakePolicy(share, window, kernel, longest int) *cakePolicy {
	return &cakePolicy{share, window, kernel, make([]int32, longest), make([]float64, longest), make([]float64, longest)}
}

// Watches says that probabilities are needed.
func (*cakePolicy) Watches() bool { return true }

// After drops what the last layer's query of this step attended to least.
func (p *cakePolicy) After(s *cache.Step) {
	if !s.Last {
		return
	}
	for j := range s.Heads {
		h := &s.Heads[j]
		if n := len(h.Pos); n > p.share+p.window {
			p.drop(h, n)
		}
	}
}

// drop names the entries of a head of n to drop.
func (p *cakePolicy) drop(h *cache.StepHead, n int) {
	order := p.order[:n]
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(h.Pos[a], h.Pos[b]) })
	order = order[:n-p.window]
	scores := p.scores[:len(order)]
	for i, at := range order {
		scores[i] = 0
		for _, probs := range h.Probs {
			scores[i] += float64(probs[at])
		}
	}
	half := p.kernel / 2
	for i := range scores {
		var sum float64
		for _, x := range scores[max(0, i-half):min(len(scores), i+half+1)] {
			sum += x
		}
		p.pooled[order[i]] = sum
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(p.pooled[a], p.pooled[b]), cmp.Compare(h.Pos[b], h.Pos[a]))
	})
	h.Evict = append(h.Evict, order[:len(order)-p.share]...)
	slices.Sort(h.Evict)
}
