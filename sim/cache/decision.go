package cache

import "kvgauge/sim/kernel"

// Decision is what one pipeline stage made of its View.
type Decision struct {
	Keep   [][]int32     // [stored head] rows of the view to keep, ascending and ragged; nil keeps all
	Map    Map           // of every row, the decoded ones too; nil leaves them as they are
	Ring   *Ring         // a fixed number of entries while decoding; nil grows
	Codec  *Codec        // how rows are stored; nil leaves f16
	Prompt PromptStorage // how the prompt is stored, where not as the rows that follow; nil stores all alike
	Policy Policy        // evicts entries while decoding; nil keeps what is there
	Select Selector      // of the entries that a step reads; nil reads all

	Window   bool // it is the layers' own window, and no method's
	Merge    bool // the layers of the group share from here on: their own rows are gone
	Producer bool // stages after this one see the queries of the group's first layer alone

	// Notes are the words that a Policy keeps for each entry between steps, [stored head][kept row]; nil where
	// it keeps none.
	Notes [][]uint32
	// Queries is how many of the last queries the store keeps in f16, for a Policy that scores entries again.
	Queries int

	// Learned is what a method learned of a text, for itself alone.
	Learned any

	MetaPerCache int   // bytes that the method must keep between steps, once for all layers
	MetaPerStore int64 // the same, for each store
	Weights      int64 // bytes of a map that was fitted on another text of the model
	Warnings     []Warning
}

// WindowOf is the decision of layers whose attention has a window or chunks of so many tokens: the last rows of the view
// stay, and each further one overwrites the oldest.
func WindowOf(v *View, tokens int) Decision {
	d := Decision{Window: true, Ring: &Ring{Capacity: tokens}}
	for h := range v.Heads() {
		n := v.Rows(h)
		if n <= tokens {
			return d
		}
		rows := make([]int32, tokens)
		for i := range rows {
			rows[i] = int32(n - tokens + i)
		}
		d.Keep = append(d.Keep, rows)
	}
	return d
}

// Codec is how keys and values are stored: after a Hadamard transform, where there is one. Queries are transformed as
// keys are, and what was read of values is transformed back. A Latent row, which is both, is stored as a key.
type Codec struct {
	K, V                 kernel.Layout
	HadamardK, HadamardV *kernel.Hadamard // nil leaves rows as they are
}

// Warning says where a method did something other than its name promises.
type Warning struct{ Code, Text string }

// Ring bounds the entries of each head: the first Sinks stay, and once Capacity entries are held each
// further one overwrites the oldest of the rest. Its write index is derived from the number of tokens
// appended, which is what a server keeps once for the whole cache.
type Ring struct {
	Sinks, Capacity int
	Heads           []bool // [stored head] whether it goes round or grows; nil: all go round
	// Roll moves the sinks next to the other entries in position: keys are rotated as if the entries
	// stood at 0, 1, ... in the cache and the query at the last of them.
	Roll bool
}
