package method

import (
	"math"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "corm", Family: Eviction,
		Summary: "entries that some recent query gave at least an equal share of its attention, and the most recent; no budget",
		Reduces: "entries",
		Paper:   "Dai et al. 2024, arXiv:2404.15949, definitions 3.1 and 3.2 and the eviction policy after them",
		Params: []Param{
			{Name: "window", Kind: AutoInt, Default: "256", Min: 1, Max: 1 << 20, Help: "recent queries that vote; auto: a sixteenth of the prompt, at least 8"},
			{Name: "recent", Kind: AutoInt, Default: "256", Min: 1, Max: 1 << 20, Help: "last entries that stay; auto as for window"},
			{Name: "agg", Kind: Choice, Default: "any", Choices: []string{"any", "mean"}, Help: "an entry is important to a group where it is to any of its query heads, or to their mean"},
			{Name: "threshold", Kind: Choice, Default: "t", Choices: []string{"t", "n"}, Help: "important from 1/tokens so far, or from 1/entries held"},
			{Name: "layout", Kind: Choice, Default: "kv", Choices: []string{"kv", "query"}, Help: "one kept set per KV head, or per query head with K and V repeated"},
		},
		Seed: []string{"corm", "corm:recent=auto,window=auto"},
		Variants: []string{
			"recent=16,window=16", "recent=8,window=8", "agg=mean,recent=auto,threshold=n,window=auto",
			"layout=query,recent=20,window=20",
		},
		Lossless: []string{"", "recent=96,window=10"},
		Combined: []string{"cla+corm:recent=16,window=16", "mla:rank=40+corm:recent=16,window=16"},
		New: func(a Args) (Method, error) {
			return corm{
				window: a.Int("window"), recent: a.Int("recent"), mean: a["agg"] == "mean",
				held: a["threshold"] == "n", query: a["layout"] == "query",
			}, nil
		},
	})
}

// corm is eviction of long-term minor keys (Dai et al. 2024): it evicts an entry as soon as it was minor (probability
// below 1/t at step t) to each of the last window queries, unless it is among the last recent ones. A query before
// the entry counts as minor. The last step at which an entry was important, 4 bytes an entry, decides exactly as the
// paper's queue of window boolean rows does. Probabilities are in float32, at the end of the prompt as in decode
// steps.
//
// Differs: the paper is silent on groups of query heads; the default keeps an entry that any query head of
// the group needs. Where the paper says "the last r steps" and "the last w queries" (with w = r in its
// experiments) the vote looks at window queries and recent entries are protected.
type corm struct {
	window, recent int // 0: auto
	mean           bool
	held           bool
	query          bool
}

// equal is how far below 1/t a probability counts as equal to it: rounding must not evict what is exactly
// average.
const equal = 1 - 1e-6

// Fit refuses a trace without the queries that vote on the first entry to go.
func (m corm) Fit(c Cell) (Cell, error) {
	prompt := c.Prompt()
	w, r := m.spans(prompt)
	first := prompt - min(w, prompt)
	goes := prompt > r
	if !goes { // at the end of the prompt, but while decoding: when there are more than r tokens, and w of them
		first = max(0, r+1-w)
		goes = c.SeqLen >= max(r+1, w)
	}
	var err error
	if goes {
		err = queriesFrom(c, first, "the prompt queries from token %d on, which vote", first)
	}
	if m.query {
		c.Heads = c.QHeads
	}
	c.Moving = true
	return c, err
}

// spans resolves auto: a sixteenth of the prompt, at least 8.
func (m corm) spans(prompt int) (window, recent int) {
	auto := max(8, prompt/16)
	window, recent = m.window, m.recent
	if window == 0 {
		window = auto
	}
	if recent == 0 {
		recent = auto
	}
	return window, recent
}

// Decide evicts once at the end of the prompt, by all of its queries where they are fewer than the window, and hands
// the vote to the decode steps, which evict once there have been as many tokens as the window.
func (m corm) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	rows := v.Rows(0)
	w, r := m.spans(rows)
	policy := cormPolicy{window: w, recent: r, mean: m.mean, held: m.held}
	d, heads, group := laidOut(v, m.query)
	d.Policy = policy
	d.Keep, d.Notes = make([][]int32, heads), make([][]uint32, heads)
	w, r = min(w, v.Queries()), min(r, rows)
	c.Pool.Run(heads, func(_, j int) {
		last := policy.lastImportant(v, j*group, group, w)
		for i, t := range last {
			if t != 0 || i >= rows-r {
				d.Keep[j], d.Notes[j] = append(d.Keep[j], int32(i)), append(d.Notes[j], t)
			}
		}
	})
	return d, nil
}

// cormPolicy is the vote while decoding. An entry's note is the last step at which it was important.
type cormPolicy struct {
	window, recent int
	mean, held     bool
}

// lastImportant returns for each prompt row the number, from 1, of the last of the last w tokens to whose
// query it was important, 0 where it was to none. The query heads are group ones from first on, in every layer
// that shares the store.
func (p cormPolicy) lastImportant(v *cache.View, first, group, w int) []uint32 {
	notes := make([]uint32, v.Rows(0))
	join, n := p.joined(group * len(v.Q))
	promptProbabilities(v, first, group, w, join, func(t int, probs []float32) {
		noteImportant(notes, probs, leastProbability(n, t), uint32(t))
	})
	return notes
}

// joined returns how the probabilities x of one more query head come into those of the heads before it, y, and
// how many heads' probabilities the result for so many heads is the sum of.
func (p cormPolicy) joined(heads int) (join func(x, y []float32), n int) {
	if p.mean {
		return addProbabilities, heads
	}
	return kernel.Max, 1
}

// Watches is true: the vote is on probabilities.
func (cormPolicy) Watches() bool { return true }

// After notes what this step found important, and after the last layer drops the long-term minor entries.
func (p cormPolicy) After(s *cache.Step) {
	for j := range s.Heads {
		h := &s.Heads[j]
		t := s.Token
		if p.held {
			t = len(h.Pos)
		}
		p.note(h, t, uint32(s.Token))
		if !s.Last || s.Token < p.window {
			continue
		}
		votes, oldest := uint32(max(0, s.Token-p.window)), int32(s.Token-p.recent)
		notes := h.Notes[:len(h.Pos)]
		for i, pos := range h.Pos {
			if notes[i] <= votes && pos < oldest {
				h.Evict = append(h.Evict, int32(i))
			}
		}
	}
}

// note writes token beside every entry of a head that is important at step t.
func (p cormPolicy) note(h *cache.StepHead, t int, token uint32) {
	all := h.Probs[0]
	join, n := p.joined(len(h.Probs))
	for _, probs := range h.Probs[1:] {
		join(probs, all)
	}
	noteImportant(h.Notes, all, leastProbability(n, t), token)
}

// noteImportant writes token beside the entries whose probability is least or more.
func noteImportant(notes []uint32, probs []float32, least float32, token uint32) {
	notes = notes[:len(probs)]
	for i, x := range probs {
		last := notes[i]
		if x >= least {
			last = token
		}
		notes[i] = last
	}
}

// leastProbability is the smallest float32 that is important at step t as the sum over some query heads. Each
// addition may have rounded it down by 2^-24 of itself.
func leastProbability(heads, t int) float32 {
	want := (equal - float64(heads-1)*0x1p-24) * float64(heads) / float64(t)
	least := float32(want)
	if float64(least) < want {
		least = math.Nextafter32(least, 1)
	}
	return least
}
