package method

import (
	"fmt"
	"math"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "h2o", Family: Eviction,
		Summary: "entries that have received most attention so far, and the most recent ones",
		Reduces: "entries",
		Paper:   "Zhang et al. 2023, arXiv:2306.14048, section 4, algorithm 1",
		Code:    "FMInference/H2O h2o_hf/utils_real_drop/modify_llama.py (online); Zefan-Cai/KVCache-Factory pyramidkv/pyramidkv_utils.py (H2OKVCluster); Zefan-Cai/PyramidKV, the same file; NVIDIA/kvpress kvpress/presses/observed_attention_press.py",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries kept per KV head"},
			{Name: "heavy", Max: 1 << 30, Auto: "half of the budget", Help: "online: entries kept for the attention that they got"},
			{Name: "recent", Min: 1, Max: 1 << 30, Auto: "the rest of the budget", Help: "online: last entries that stay, the current one included"},
			{Name: "variant", Kind: Choice, Default: "online", Choices: []string{"online", "kvcache-factory", "pyramidkv", "kvpress"}, Help: "evicting at every step, or once at the end of the prompt as one of these libraries does"},
			{Name: "window", Default: "8", Min: 1, Max: 1 << 20, Help: "kvcache-factory and pyramidkv: last prompt entries that stay"},
			{Name: "agg", Kind: Choice, Default: "mean", Choices: []string{"mean", "max", "sum"}, Help: "scores of a group's query heads to one"},
			{Name: "layout", Kind: Choice, Default: "kv", Choices: []string{"kv", "query"}, Help: "one kept set per KV head, or per query head with K and V repeated"},
		},
		Variants: []string{
			"agg=max", "layout=query", "heavy=20", "variant=kvcache-factory", "variant=pyramidkv", "variant=kvpress",
		},
		Combined: []string{"cla+h2o"},
		New:      newH2O,
	})
}

// h2o is the heavy-hitter oracle (Zhang et al. 2023): it scores an entry by its accumulated attention, the sum of the
// probabilities that all queries so far gave it. At the end of the prompt that is the column sum of the causal
// attention matrix, gone through by rows; each decoded token adds its own row to the entries that are left, and then
// the one with the lowest score among those that are not recent goes. The score of an entry is a float32 beside it.
//
// Variants of one decision at the end of the prompt, after which the cache grows: kvcache-factory keeps the
// last window entries and the best of the others; pyramidkv does so with scores in which queries before the
// window see the whole prompt, since the code's mask covers the last window by window block alone; kvpress
// divides each sum by the number of queries that could see the entry and protects none.
//
// Differs: the official code repeats K and V to the query heads; the default here scores a KV head by the
// mean of its group.
type h2o struct {
	budget        Entries
	heavy, recent int // -1: from the budget
	variant       string
	window        int
	agg           string
	query         bool
}

func newH2O(a Args) (Method, error) {
	m := h2o{budget: a.Budget("budget"), heavy: -1, recent: -1, variant: a["variant"], window: a.Int("window"), agg: a["agg"], query: a["layout"] == "query"}
	if a.Given("heavy") {
		m.heavy = a.Int("heavy")
	}
	if a.Given("recent") {
		m.recent = a.Int("recent")
	}
	switch {
	case m.variant != "online" && (m.heavy >= 0 || m.recent >= 0):
		return nil, fmt.Errorf("variant=%s takes no heavy and no recent: only variant=online splits its budget", m.variant)
	case (m.variant == "online" || m.variant == "kvpress") && a["window"] != "8":
		return nil, fmt.Errorf("window=%s: variant=%s protects no window", a["window"], m.variant)
	}
	return m, nil
}

// split resolves what the budget leaves open.
func (m h2o) split(budget int) (heavy, recent int) {
	heavy, recent = m.heavy, m.recent
	switch {
	case heavy < 0 && recent < 0:
		heavy = budget / 2
		recent = budget - heavy
	case heavy < 0:
		heavy = budget - recent
	case recent < 0:
		recent = budget - heavy
	}
	return heavy, recent
}

// online says whether entries are evicted while decoding.
func (m h2o) online() bool { return m.variant == "online" }

// protects is how many last prompt entries stay, whatever their score.
func (m h2o) protects(budget int) int {
	switch m.variant {
	case "online":
		_, recent := m.split(budget)
		return recent
	case "kvpress":
		return 0
	}
	return m.window
}

// Fit refuses a budget that its parts do not make up, and a trace without all prompt queries.
func (m h2o) Fit(c Cell) (Cell, error) {
	b, held := m.budget.Of(c.SeqLen), c.Prompt()
	if m.online() {
		held = c.SeqLen
		c.Moving = true
		switch heavy, recent := m.split(b); {
		case heavy < 0 || recent < 1:
			return c, fmt.Errorf("budget of %s leaves %d heavy and %d recent entries: want at least 1 recent", m.budget.describe(c.SeqLen), heavy, recent)
		case heavy+recent != b:
			return c, fmt.Errorf("heavy + recent = %d is not the budget of %s", heavy+recent, m.budget.describe(c.SeqLen))
		}
	} else if err := roomFor(c, m.protects(b), "window", m.budget); err != nil {
		return c, err
	}
	if m.query {
		c.Heads = c.QHeads
	}
	if b < held {
		return c, allQueries(c)
	}
	return c, nil
}

// Decide evicts at the end of the prompt, and hands the scores to the decode steps of variant=online.
func (m h2o) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget, rows := m.budget.Of(c.SeqLen), v.Rows(0)
	d, heads, group := laidOut(v, m.query)
	if m.online() {
		d.Warnings = aboveLength(budget, c.SeqLen, "sequence")
		d.Notes = make([][]uint32, heads)
		for j := range d.Notes {
			d.Notes[j] = make([]uint32, rows)
		}
		if budget >= c.SeqLen {
			return d, nil
		}
		_, recent := m.split(budget)
		d.Policy = h2oPolicy{budget: budget, recent: recent, max: m.agg == "max", scale: m.scale(group, len(v.Q))}
	} else {
		d.Warnings = aboveLength(budget, rows, "prompt")
		if budget >= rows {
			return d, nil
		}
	}
	scores := m.scores(c, v, group)
	if m.online() {
		for j := range scores {
			for i, x := range scores[j] {
				d.Notes[j][i] = math.Float32bits(float32(x))
			}
		}
	}
	if budget >= rows {
		return d, nil
	}
	protected := m.protects(budget)
	for j, s := range scores {
		keep := append(topK(s[:rows-protected], budget-protected), span(rows-protected, rows)...)
		d.Keep = append(d.Keep, keep)
		if m.online() {
			for i, row := range keep {
				d.Notes[j][i] = d.Notes[j][row]
			}
			d.Notes[j] = d.Notes[j][:len(keep)]
		}
	}
	return d, nil
}

// size is that of the budget, with a score beside each entry of variant=online.
func (m h2o) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(m.budget.Of(c.SeqLen))
	s.Notes = m.online()
	return nil
}

// scores returns those of the prompt, [stored head][rows].
func (m h2o) scores(c Cell, v *cache.View, group int) [][]float64 {
	ahead := 0
	if m.variant == "pyramidkv" {
		ahead = m.window
	}
	sums := columnSums(c, v, ahead)
	if m.variant == "kvpress" {
		for _, s := range sums {
			for i := range s {
				s[i] /= float64(len(s) - i)
			}
		}
	}
	scores := make([][]float64, len(sums)/group)
	for j := range scores {
		scores[j] = aggregate(sums[j*group:(j+1)*group], m.agg)
	}
	return scores
}

// scale is what a sum over the layers that share and, but for agg=max, the query heads of a group is worth.
func (m h2o) scale(group, layers int) float32 {
	if m.agg == "mean" {
		return 1 / float32(group*layers)
	}
	return 1 / float32(layers)
}

// h2oPolicy adds each step's probabilities to the scores and drops the lowest. An entry's note is the bits of
// its score.
type h2oPolicy struct {
	budget, recent int
	max            bool
	scale          float32
}

// Watches is true.
func (h2oPolicy) Watches() bool { return true }

// After brings the scores up to date and, above the budget, drops one entry: a step appends one.
func (p h2oPolicy) After(s *cache.Step) {
	for j := range s.Heads {
		h := &s.Heads[j]
		if p.max {
			for _, probs := range h.Probs[1:] {
				kernel.Max(probs, h.Probs[0])
			}
			kernel.Axpy(1, h.Probs[0], h.Score)
		} else {
			for _, probs := range h.Probs {
				kernel.Axpy(1, probs, h.Score)
			}
		}
		if !s.Last {
			continue
		}
		old := int32(s.Token - p.recent) // positions from here on are recent
		worst, least := -1, float32(0)
		score, notes := h.Score[:len(h.Pos)], h.Notes[:len(h.Pos)]
		for i, pos := range h.Pos {
			x := math.Float32frombits(notes[i]) + float32(p.scale*score[i])
			notes[i] = math.Float32bits(x)
			if pos < old && (worst < 0 || x < least || x == least && pos > h.Pos[worst]) {
				worst, least = i, x
			}
		}
		if len(h.Pos) > p.budget {
			h.Evict = append(h.Evict, int32(worst))
		}
	}
}

// columnSums returns the attention that each prompt row got from all prompt queries together, [query
// head][rows], as the mean over the layers that share the store. With ahead queries before the last ahead ones
// see the whole prompt, as if it were not causal; 0 is causal attention.
func columnSums(c Cell, v *cache.View, ahead int) [][]float64 {
	n := v.Rows(0)
	sums := make([][]float64, v.QHeads())
	q := make([]float32, n*v.Dim)
	for h := range sums {
		sums[h] = make([]float64, n)
		k := kernel.F32Rows(v.K[h/v.Group()][:n*v.Dim], v.Dim)
		for l, layer := range v.Q {
			rule := v.Rules[l][h]
			for i, x := range layer[h] {
				q[i] = x * float32(rule.Scale)
			}
			first := 0
			if ahead > 0 {
				first = n - ahead
				kernel.Causal(c.Pool, q[:first*v.Dim], rule, n-1, &k, &k, nil, sums[h])
			}
			kernel.Causal(c.Pool, q[first*v.Dim:], rule, first, &k, &k, nil, sums[h])
		}
		for i := range sums[h] {
			sums[h][i] /= float64(len(v.Q))
		}
	}
	return sums
}
