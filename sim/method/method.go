package method

import (
	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// Cell is what a method may know of the cell it works in before it sees a row. Heads and the fields after it up to
// Grouped are as the stages before leave them; capability.go has the rules about them.
type Cell struct {
	Layers     []int // that are measured, by the model's own numbers; for a method's eyes, those that it may change
	Left       []int // of them, those with a window or chunks; for a method's eyes, those that it leaves alone
	NumLayers  int   // of the whole model
	Stateful   []int // layers of the model that hold no keys, or read those of others
	Ring       int   // tokens that the window or chunk of the layers at hand spans; 0: there is none
	Apart      bool  // layers that would share a cache are too unlike
	QHeads     int
	HeadDim    int  // channels of the trace's heads
	RopeDims   int  // of them, those that the rotary embedding rotates
	Heads      int  // stored heads
	Dim        int  // channels of a stored key
	VDim       int  // channels of a stored value
	Folded     bool // up-projections are absorbed into queries and outputs: a head reads the rows by a matrix of its own
	HasRope    bool // stored keys are those of single heads under the rotary embedding, at the trace's frequencies
	Rebuilt    bool // keys are up-projected from the stored rows and rotated at each step
	Latent     bool // a stored row is key and value at once, as in multi-head latent attention
	Packed     bool // the prompt's rows are compressed together and stored apart from those that follow
	Thinned    bool // an earlier stage evicts entries of the prompt
	Moving     bool // an earlier stage evicts or overwrites entries while decoding
	Rolled     bool // positions are those of cache slots: keys are rotated further as they are read
	Grouped    bool // tokens share quantisation scales, or wait unquantised until a group of them is full
	SeqLen     int
	Decode     int  // tokens of SeqLen that are decoded after the prompt
	FirstQuery int  // first token whose query the trace holds
	asked      *int // where not nil, receives the first token whose query a Fit asks for
	Repeat     int  // first token of those that repeat the context before them; 0 where none do
	RepeatEnd  int  // one more than the last of them
	Seed       uint64
	Pool       *kernel.Pool
	Observed   map[int][]float64 // what an observer saw, by the first layer of each group
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

// seer is a bound: it knows the future. The future view holds the queries that will be decoded and the
// rows they append, after the same maps as the prompt; everybody else cannot look ahead, by type.
type seer interface {
	foresee(c Cell, prompt, future *cache.View) (cache.Decision, error)
}

// grouper is a method whose layers share a cache.
type grouper interface {
	// groups splits the layers of a cell into those that share; the first of a group makes its rows. It
	// fails where the cell holds a part of a group only.
	groups(layers []int, numLayers int) ([][]int, error)
}

// repeater is a method that may decide again while decoding, on the rows that the store then holds.
type repeater interface {
	// every is after how many tokens of the sequence it decides again, 0 for never, and how many of the last
	// queries it looks at.
	every() (tokens, queries int)
}

// fitter is a method that may fit linear maps on rows before it decides: on another text of the model, where
// there is one, or else on the prompt.
type fitter interface {
	// fits says whether its parameters ask for a fit; where not, Decide is called.
	fits() bool
	// fitMap fits on the view, and returns the map and its bytes as Weights.
	fitMap(c Cell, on *cache.View) (cache.Decision, error)
}

// learner is a fitter whose fitMap learns no map but what it then decides on the prompt with: the Learned of the
// decision.
type learner interface {
	fitter
	// apply decides on the prompt. It takes the weights and warnings of the decision that fitMap returned.
	apply(c Cell, prompt *cache.View, learned cache.Decision) (cache.Decision, error)
}
