package method

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "duoattention", Family: Eviction,
		Summary: "everything in some heads; in the others the first tokens and the most recent ones",
		Reduces: "entries",
		Paper:   "Xiao et al. 2024, arXiv:2410.10819, section 2",
		Code:    "mit-han-lab/duo-attention; NVIDIA/kvpress kvpress/presses/duo_attention_press.py",
		Params: []Param{
			{Name: "full", Kind: Share, Default: "50%", Help: "KV heads of each layer that keep everything, rounded"},
			{Name: "sinks", Default: "64", Max: 1 << 20, Help: "first tokens that stay in the other heads"},
			{Name: "recent", Default: "256", Min: 1, Max: 1 << 30, Help: "last tokens that stay in them, the current one included"},
		},
		Knob:     "full",
		Variants: []string{"recent=20,sinks=4", "recent=8,sinks=2"},
		Lossless: []string{"", "full=100%,recent=5,sinks=1"},
		New: func(a Args) (Method, error) {
			return duoAttention{a.Share("full"), a.Int("sinks"), a.Int("recent")}, nil
		},
	})
}

// duoAttention is retrieval and streaming heads (Xiao et al. 2024): it splits the KV heads of a layer into retrieval
// heads, which keep everything, and streaming heads, which keep sinks and recent tokens and make room before each
// append.
//
// Differs: the paper learns a gate per head by training on synthetic retrieval, and thresholds it over the
// whole model. On a trace the retrieval heads of each layer are those that pay least attention to sinks and
// recent tokens over the prompt's queries. Which they are is the model's, so that nothing is charged for it.
type duoAttention struct {
	full          float64
	sinks, recent int
}

var _ tuner = duoAttention{}

// Fit accepts every cell: what queries the trace holds decide.
func (m duoAttention) Fit(c Cell) (Cell, error) {
	var err error
	if n := m.whole(c.Heads); n > 0 && n < c.Heads {
		err = someQueries(c, "queries of the prompt to tell retrieval heads")
	}
	c.Moving = true
	return c, err
}

// whole is how many of a layer's heads keep everything.
func (m duoAttention) whole(heads int) int { return int(math.Round(m.full * float64(heads))) }

// settings are the shares of every number of heads, in tenths of a percent: less than half a head in up to a
// thousand.
func (m duoAttention) settings(c Cell) []string {
	var shares []string
	for n := range c.Heads + 1 {
		share := math.Round(1000*float64(n)/float64(c.Heads)) / 10
		m.full = share / 100
		if _, err := m.Fit(c); err == nil {
			shares = append(shares, strconv.FormatFloat(share, 'f', -1, 64)+"%")
		}
	}
	return shares
}

// Decide chooses the heads and cuts the prompt in the streaming ones.
func (m duoAttention) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	heads, rows, held := v.Heads(), v.Rows(0), m.sinks+m.recent
	whole := m.whole(heads)
	ring := &cache.Ring{Sinks: m.sinks, Capacity: held, Heads: make([]bool, heads)}
	d := cache.Decision{Ring: ring}
	for j := range ring.Heads {
		ring.Heads[j] = true
	}
	if whole > 0 {
		local := make([]float64, heads)
		if whole < heads {
			c.Pool.Run(heads, func(_, j int) { local[j] = m.local(v, j) })
		}
		order := span(0, heads)
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(local[a], local[b]) })
		for _, j := range order[:whole] {
			ring.Heads[j] = false
		}
	}
	if held >= rows {
		return d, nil
	}
	for j := range heads {
		if ring.Heads[j] {
			d.Keep = append(d.Keep, append(span(0, m.sinks), span(rows-m.recent, rows)...))
		} else {
			d.Keep = append(d.Keep, span(0, rows))
		}
	}
	return d, nil
}

// size is that of whole heads and of those cut; which are whole does not matter.
func (m duoAttention) size(_ Cell, _ []int, s *cache.Size) error {
	for h := m.whole(len(s.Rows)); h < len(s.Rows); h++ {
		s.Rows[h] = min(s.Rows[h], m.sinks+m.recent)
	}
	return nil
}

// local is the attention that the prompt's queries pay to the sinks and to the recent tokens, as the mean over
// the query heads of a group and the layers that share.
func (m duoAttention) local(v *cache.View, j int) float64 {
	group := v.Group()
	var mass float64
	promptProbabilities(v, j*group, group, v.Queries(), addProbabilities, func(t int, probs []float32) {
		sinks := min(t, m.sinks)
		for _, x := range probs[:sinks] {
			mass += float64(x)
		}
		for _, x := range probs[max(sinks, t-m.recent):] {
			mass += float64(x)
		}
	})
	return mass / float64(v.Queries()*group*len(v.Q))
}
