package sim

import "fmt"

// Key is what two records of the same cell share, wherever and whenever they were measured. Its fields
// are those that the contract joins records on, and the model, so that rows of different models never meet.
type Key struct {
	TraceSHA256, Model, Pipeline string
	Layers                       string // as fmt prints them
	SeqLen, Decode, Windows      int
	Seed                         uint64
}

// KeyOf returns the key of a record.
func KeyOf(r Record) Key {
	return Key{
		TraceSHA256: r.TraceSHA256, Model: r.Model, Pipeline: r.Pipeline, Layers: fmt.Sprint(r.Layers),
		SeqLen: r.SeqLen, Decode: r.Decode, Windows: r.Windows, Seed: r.Seed,
	}
}

// CellName names a record's cell in messages.
func CellName(r Record) string {
	return fmt.Sprintf("%s on %s at %d tokens", r.Pipeline, r.Trace, r.SeqLen)
}
