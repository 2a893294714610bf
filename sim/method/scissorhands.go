package method

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "scissorhands", Family: Eviction,
		Summary: "entries that recent queries gave less than an equal share fewest times, dropped many at a time",
		Reduces: "entries",
		Paper:   "Liu et al. 2023, arXiv:2305.17118, algorithm 2",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries held per KV head when some are dropped"},
			{Name: "history", Default: "400", Min: 1, Max: math.MaxUint16, Help: "last queries that count"},
			{Name: "recent", Default: "10", Min: 1, Max: 1 << 20, Help: "last entries that stay"},
			{Name: "drop", Min: 1, Max: 1 << 30, Auto: "half of the budget", Help: "entries dropped at a time"},
			{Name: "mode", Kind: Choice, Default: "count", Choices: []string{"count", "sum"}, Help: "queries that gave an entry less than 1/tokens, or the sum of the probabilities"},
		},
		Variants: []string{"history=20,mode=sum,recent=3", "history=10"},
		New: func(a Args) (Method, error) {
			return scissorhands{a.Budget("budget"), a.Int("history"), a.Int("recent"), a.Int("drop"), a["mode"] == "sum"}, nil
		},
	})
}

// scissorhands is the persistence of importance (Liu et al. 2023): it counts, per entry, the last queries whose
// probability for it was below 1/t at step t, as the mean over the query heads of the group. When the entries of a
// head reach the budget, the drop of them with the highest counts go, recent ones apart; then the cache grows again.
// What is kept per entry is the count, or with mode=sum the sum of its probabilities, 4 bytes.
//
// Differs: no official code was found. A query counts for the entries that it sees, so that young ones are not
// held to have been passed over before they existed. Where fewer than history steps lie between two drops
// the count is over those steps: one number an entry does not hold the older ones.
type scissorhands struct {
	budget                Entries
	history, recent, drop int // drop 0: half of the budget
	sum                   bool
}

var _ tuner = scissorhands{}

// settings are the budgets that leave no fewer entries at the end of the cell than every smaller one: a larger budget
// may have dropped half of them just before.
func (m scissorhands) settings(c Cell) []string {
	var settings []string
	most := 0
	for b := 1; b <= c.SeqLen; b++ {
		if n := m.final(b, c); n >= most {
			settings, most = append(settings, strconv.Itoa(b)), n
		}
	}
	return settings
}

// final is how many entries a head holds after the last step.
func (m scissorhands) final(budget int, c Cell) int {
	if budget >= c.SeqLen {
		return c.SeqLen
	}
	left, n := budget-m.dropped(budget), c.Prompt()
	if n >= budget {
		n = left
	}
	for range c.Decode {
		if n++; n >= budget {
			n = left
		}
	}
	return n
}

// dropped is how many entries go at a time.
func (m scissorhands) dropped(budget int) int {
	if m.drop > 0 {
		return m.drop
	}
	return max(1, budget/2)
}

// counted is how many prompt queries count: before a drop at its end the last queries, else those that the steps
// up to the first drop leave room for.
func (m scissorhands) counted(budget, rows int) int {
	if budget > rows {
		return min(rows, max(0, m.history-(budget-rows)))
	}
	return min(rows, m.history)
}

// Fit refuses a drop that leaves less than the recent entries, and a trace without the queries that count.
func (m scissorhands) Fit(c Cell) (Cell, error) {
	b := m.budget.Of(c.SeqLen)
	if left := b - m.dropped(b); left < m.recent {
		return c, fmt.Errorf("budget of %s less %d dropped leaves %d entries, below recent = %d", m.budget.describe(c.SeqLen), m.dropped(b), left, m.recent)
	}
	c.Moving = true
	if first := c.Prompt() - m.counted(b, c.Prompt()); b < c.SeqLen {
		return c, queriesFrom(c, first, "the prompt queries from token %d on", first)
	}
	return c, nil
}

// Decide counts over the prompt and drops where it is beyond the budget.
func (m scissorhands) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget, rows := m.budget.Of(c.SeqLen), v.Rows(0)
	d := cache.Decision{Warnings: aboveLength(budget, c.SeqLen, "sequence"), Notes: make([][]uint32, v.Heads())}
	for j := range d.Notes {
		d.Notes[j] = make([]uint32, rows)
	}
	if budget >= c.SeqLen {
		return d, nil
	}
	left := budget - m.dropped(budget)
	d.Policy = scissorhandsPolicy{budget: budget, left: left, history: m.history, recent: m.recent, sum: m.sum, heads: v.Group() * len(v.Q)}
	if n := m.counted(budget, rows); n > 0 {
		counts := make([][]float64, v.Heads())
		c.Pool.Run(v.Heads(), func(_, j int) { counts[j] = m.count(v, j, n) })
		if rows < budget {
			for j := range counts {
				for i, x := range counts[j] {
					d.Notes[j][i] = m.note(x)
				}
			}
			return d, nil
		}
		for j := range counts {
			old := rows - m.recent
			scores := counts[j][:old]
			if !m.sum {
				for i := range scores {
					scores[i] = -scores[i]
				}
			}
			d.Keep = append(d.Keep, append(topK(scores, left-m.recent), span(old, rows)...))
			d.Notes[j] = d.Notes[j][:left] // a new block
		}
	}
	return d, nil
}

// size is that of what a drop left, with a number beside each entry.
func (m scissorhands) size(c Cell, _ []int, s *cache.Size) error {
	s.Notes = true
	if b := m.budget.Of(c.SeqLen); b < c.SeqLen && c.Prompt() >= b {
		s.Keep(b - m.dropped(b))
	}
	return nil
}

// note is how a count or a sum is kept.
func (m scissorhands) note(x float64) uint32 {
	if m.sum {
		return math.Float32bits(float32(x))
	}
	return uint32(x)
}

// count returns, for each prompt row of a stored head, how many of the last n queries gave it less than an
// equal share, or the sum of their probabilities. One is the mean over the group and the layers that share.
func (m scissorhands) count(v *cache.View, j, n int) []float64 {
	group := v.Group()
	heads := group * len(v.Q)
	counts := make([]float64, v.Rows(0))
	promptProbabilities(v, j*group, group, n, addProbabilities, func(t int, probs []float32) {
		least := leastProbability(heads, t)
		for i, x := range probs {
			if m.sum {
				counts[i] += float64(x) / float64(heads)
			} else if x < least {
				counts[i]++
			}
		}
	})
	return counts
}

// scissorhandsPolicy counts while decoding. An entry's note is its count, or the bits of its sum, over the last
// history steps before the next drop.
type scissorhandsPolicy struct {
	budget, left    int
	history, recent int
	sum             bool
	heads           int // query heads and layers that a probability is the mean of
}

// Watches is true.
func (scissorhandsPolicy) Watches() bool { return true }

// After counts this step and drops where the budget is reached.
func (p scissorhandsPolicy) After(s *cache.Step) {
	for j := range s.Heads {
		h := &s.Heads[j]
		if p.budget-len(h.Pos) >= p.history {
			continue
		}
		for _, probs := range h.Probs {
			kernel.Axpy(1, probs, h.Score)
		}
		if !s.Last {
			continue
		}
		p.count(h, s.Token)
		if len(h.Pos) >= p.budget {
			p.drop(h, s.Token)
		}
	}
}

// count brings the notes up to date.
func (p scissorhandsPolicy) count(h *cache.StepHead, t int) {
	notes := h.Notes[:len(h.Score)]
	least := leastProbability(p.heads, t)
	for i, x := range h.Score {
		if p.sum {
			notes[i] = math.Float32bits(math.Float32frombits(notes[i]) + x/float32(p.heads))
			continue
		}
		n := notes[i]
		if x < least {
			n++
		}
		notes[i] = n
	}
}

// drop names the entries with the lowest scores until left stay, and starts a new block of counts.
func (p scissorhandsPolicy) drop(h *cache.StepHead, t int) {
	old := int32(t - p.recent)
	for i, pos := range h.Pos {
		h.Score[i] = -float32(h.Notes[i])
		if p.sum {
			h.Score[i] = math.Float32frombits(h.Notes[i])
		}
		if pos < old {
			h.Evict = append(h.Evict, int32(i))
		}
	}
	slices.SortFunc(h.Evict, func(a, b int32) int {
		return cmp.Or(cmp.Compare(h.Score[a], h.Score[b]), cmp.Compare(h.Pos[b], h.Pos[a]))
	})
	h.Evict = h.Evict[:len(h.Pos)-p.left]
	slices.Sort(h.Evict)
	clear(h.Notes)
}
