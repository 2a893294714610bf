package method

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"kvgauge/sim/cache"
	"kvgauge/sim/record"
)

func init() {
	Register(Info{
		Name: "think", Family: Channel,
		Summary: "the channels of keys that the last queries read least are dropped from all but the last keys",
		Reduces: "channels",
		Paper:   "Xu et al. 2024, arXiv:2407.21018, section 3 (query-driven pruning)",
		Code:    "SalesforceAIResearch/ThinK; NVIDIA/kvpress kvpress/presses/think_press.py",
		Params: []Param{
			{Name: "ratio", Kind: Fraction, Default: "0.4", Help: "part of a key's channels that is dropped, below 1"},
			{Name: "window", Default: "32", Min: 1, Max: 1 << 20, Help: "last prompt queries that score, and last prompt keys that keep all channels"},
		},
		Knob:     "ratio",
		Variants: []string{"window=8", "window=79", "window=200"},
		Lossless: []string{"ratio=0"},
		Combined: []string{"snapkv+think:window=8", "cla+think", "lowrank:rope=post+think:window=8"},
		New:      newThinK,
	})
}

// thinK is query-driven channel pruning (Xu et al. 2024): it drops the floor(d*ratio) channels of a KV head's keys
// with the least product of the mean square of the last queries and of the keys. The last window keys of the prompt,
// and those that are decoded, keep all; pruned keys are stored narrower, and the queries read them with the same
// channels.
//
// Differs: the official code repeats keys to the query heads and prunes each apart; here a KV head is pruned
// by the mean over its group, as kvpress has it, which in turn prunes every key and only sets the channels to
// zero.
type thinK struct {
	ratio  float64
	window int
}

var _ tuner = thinK{}

func newThinK(a Args) (Method, error) {
	m := thinK{a.Real("ratio"), a.Int("window")}
	if m.ratio >= 1 {
		return nil, fmt.Errorf("ratio=%s: want a number below 1", a["ratio"])
	}
	return m, nil
}

// Fit refuses rows whose keys are not stored as queries read them, entries that come and go, and a trace
// without the window's queries.
func (m thinK) Fit(c Cell) (Cell, error) {
	err := cmp.Or(prunable(c), lastQueries(c, m.window))
	c.Packed = true
	return c, err
}

// settings are the ratios of every number of channels, but for those that save less than it costs to say which
// channels stay, a bit each.
func (m thinK) settings(c Cell) []string {
	var ratios []string
	narrow := c.Prompt() - m.window
	for drop := c.Dim - 1; drop > 0; drop-- {
		if 2*drop*narrow > (c.Dim+7)/8 {
			ratios = append(ratios, strconv.FormatFloat(float64(drop)/float64(c.Dim), 'g', -1, 64))
		}
	}
	return append(ratios, "0")
}

// Decide scores the channels of every stored head.
func (m thinK) Decide(_ Cell, v *cache.View) (cache.Decision, error) {
	drop := m.dropped(v.Dim)
	if drop == 0 {
		return cache.Decision{}, nil
	}
	p := cache.Prune{Recent: m.window}
	n := min(m.window, v.Queries())
	for j := range v.K {
		keys := make([]float64, v.Dim)
		squares(keys, v.K[j], v.Dim)
		queries := make([]float64, v.Dim)
		for _, layer := range v.Q {
			for h := j * v.Group(); h < (j+1)*v.Group(); h++ {
				squares(queries, layer[h][(v.Queries()-n)*v.Dim:], v.Dim)
			}
		}
		for c := range keys {
			keys[c] *= queries[c]
		}
		p.Channels = append(p.Channels, topK(keys, v.Dim-drop))
	}
	var d cache.Decision
	if slices.ContainsFunc(v.Pos, func(pos []int32) bool { return len(pos) > m.window }) {
		d.Prompt = p
	} else {
		d.Warnings = []cache.Warning{{
			Code: "nothing-pruned",
			Text: fmt.Sprintf("the last %s all channels, and there are no others", record.Count(m.window, "key keeps", "keys keep")),
		}}
	}
	return d, nil
}

// size is that of narrow keys and of the last ones.
func (m thinK) size(_ Cell, _ []int, s *cache.Size) error {
	drop := m.dropped(s.Shape.K)
	if drop > 0 && slices.Max(s.Rows) > m.window {
		s.Prompt = cache.PruneSize{Channels: s.Shape.K - drop, Recent: m.window}
	}
	return nil
}

// dropped is how many of a key's channels go.
func (m thinK) dropped(channels int) int { return int(math.Floor(float64(channels)*m.ratio + 1e-9)) }

// squares adds the squares of the rows' channels. Scores are compared within a head: sums do for means.
func squares(sums []float64, rows []float32, dim int) {
	for i, x := range rows {
		sums[i%dim] += float64(x) * float64(x)
	}
}
