package method

import (
	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// Cell is what a method may know of the cell it works in before it sees a row.
type Cell struct {
	NumLayers  int // of the whole model
	QHeads     int
	Heads      int // stored heads, as the stages before leave them
	Dim        int // of a head
	SeqLen     int
	Decode     int // tokens of SeqLen that are decoded after the prompt
	FirstQuery int // first token whose query the trace holds
	HasRope    bool
	Seed       uint64
	Pool       *kernel.Pool
}

// Prompt is the number of tokens that are cached at once.
func (c Cell) Prompt() int { return c.SeqLen - c.Decode }

// Method is one reduction step with its parameters set.
type Method interface {
	// Fit returns the cell as the next stage sees it, or the reason why the method does not apply to
	// this one: a sentence that a user can act on.
	Fit(c Cell) (Cell, error)
	// Decide says what to do with the rows of one group of layers. It must not change the view.
	Decide(c Cell, v *cache.View) (cache.Decision, error)
}

// Seer is a bound: it knows the future. The future view holds the queries that will be decoded and the
// rows they append, after the same maps as the prompt; everybody else cannot look ahead, by type.
type Seer interface {
	Foresee(c Cell, prompt, future *cache.View) (cache.Decision, error)
}
