package method

import (
	"errors"
	"fmt"
	"strconv"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "streamingllm", Family: Eviction,
		Summary: "the first tokens, which act as attention sinks, and the most recent ones",
		Reduces: "entries",
		Paper:   "Xiao et al. 2023, arXiv:2309.17453, section 3",
		Code:    "mit-han-lab/streaming-llm streaming_llm/kv_cache.py (evict_for_space), pos_shift/modify_llama.py",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Unless: "recent", Help: "entries kept per KV head, sinks and current token included"},
			{Name: "sinks", Default: "4", Max: 1 << 20, Help: "first tokens that stay"},
			{Name: "recent", Min: 1, Max: 1 << 30, Auto: "budget - sinks", Help: "last tokens that stay, the current one included"},
			{Name: "roll", Kind: Choice, Default: "off", Choices: []string{"off", "on"}, Help: "positions by cache slot, as in the paper, or as in the trace"},
		},
		Seed:     []string{"streamingllm"},
		Variants: []string{"roll=on", "sinks=0", "recent=20"},
		Lossless: []string{"recent=92"},
		Combined: []string{"mqa+streamingllm"},
		New:      newStreamingLLM,
	})
}

// streamingLLM is attention sinks and a rolling window (Xiao et al. 2023). It makes room before each append, so that
// the budget includes the current token and is never exceeded. The decision needs no scores; what it must keep
// between steps is one write index.
//
// Differs: the official code always numbers positions by cache slot (roll=on). On a trace within the
// model's training length that changes logits which the reference computes without it, so the default
// leaves positions as they are and the error is that of eviction alone.
type streamingLLM struct {
	budget Entries // of the cell; counts sinks + recent where those were given
	sinks  int
	roll   bool
}

// newStreamingLLM takes a budget, or the number of recent tokens in its place.
func newStreamingLLM(a Args) (Method, error) {
	m := streamingLLM{budget: a.Budget("budget"), sinks: a.Int("sinks"), roll: a["roll"] == "on"}
	if a.Given("recent") {
		both := Entries{Count: m.sinks + a.Int("recent")}
		if a.Given("budget") && a["budget"] != strconv.Itoa(both.Count) {
			return nil, fmt.Errorf("budget=%s disagrees with sinks=%d and recent=%s: give one of budget and recent", a["budget"], m.sinks, a["recent"])
		}
		m.budget = both
	}
	return m, nil
}

// Fit refuses a budget that leaves no recent token, and rolling without a rotary embedding.
func (m streamingLLM) Fit(c Cell) (Cell, error) {
	err := roomFor(c, m.sinks, "sinks", m.budget)
	if err == nil && m.roll && !c.HasRope {
		err = errors.New("roll=on needs the rotary embedding's frequencies, which the trace does not name")
	}
	c.Moving, c.Rolled = true, m.roll
	return c, err
}

// ringIndex is the bytes of the write index of the ring, one for all layers.
const ringIndex = 8

// Decide cuts the prompt to the budget and lets the rest of the sequence go round.
func (m streamingLLM) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget, rows := m.budget.Of(c.SeqLen), v.Rows(0)
	d := cache.Decision{
		Ring:         &cache.Ring{Sinks: m.sinks, Capacity: budget, Roll: m.roll},
		MetaPerCache: ringIndex,
		Warnings:     aboveLength(budget, c.SeqLen, "sequence"),
	}
	if budget >= rows {
		return d, nil
	}
	for range v.Heads() {
		d.Keep = append(d.Keep, append(span(0, m.sinks), span(rows-budget+m.sinks, rows)...))
	}
	return d, nil
}

// size is that of the budget and of the ring's write index.
func (m streamingLLM) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(m.budget.Of(c.SeqLen))
	s.Once += ringIndex
	return nil
}
