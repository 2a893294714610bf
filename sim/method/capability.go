package method

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// What may follow what, and what a method wants of a cell. A method's Fit asks these by name; what is about its own
// parameters alone stays with it.

// stage is the place of a family in a pipeline: each stage sees what the one before would have cached,
// so that sharing comes before latent before eviction before quantisation.
func (f Family) stage() int {
	return slices.Index([]Family{Baseline, Sharing, Latent, Eviction, Channel, Merging, Quantisation, Selection}, f)
}

// partial says whether a family's caches lack entries, or reads of them, that the full cache has.
func (f Family) partial() bool { return f == Eviction || f == Selection }

// recodes says whether a family's rows are of other widths or formats than the trace's.
func (f Family) recodes() bool {
	return f == Latent || f == Channel || f == Merging || f == Quantisation
}

// acts is the family whose part the method plays in a pipeline: a bound on ranks is a latent, any other
// bound evicts.
func (i Info) acts() Family {
	switch {
	case i.Family != Bound:
		return i.Family
	case i.Reduces == "rank":
		return Latent
	}
	return Eviction
}

// place orders the stages of a pipeline: by family, and sharing of heads before sharing of layers.
func (i Info) place() int {
	place := 2 * i.acts().stage()
	if i.Reduces == "layers" {
		place++
	}
	return place
}

// follows says why a method may not come after another.
func follows(a, b Info) error {
	switch {
	case a.Family == Baseline || b.Family == Baseline:
		return fmt.Errorf("%s and %s do not combine: a baseline reduces nothing and stands alone", a.Name, b.Name)
	case a.place() == b.place():
		return fmt.Errorf("%s and %s do not combine: both decide the same thing (%s)", a.Name, b.Name, b.Reduces)
	case a.place() > b.place():
		return fmt.Errorf("%s (%s) cannot come after %s (%s): write %s+%s", b.Name, b.Family, a.Name, a.Family, b.Name, a.Name)
	}
	return nil
}

// wholeModel refuses a part of a model to a method that decides over all layers, for the reason given.
func wholeModel(c Cell, why string) error {
	if len(c.Layers) != c.scheduled() {
		return fmt.Errorf("%s: want those %d, not %d of them", why, c.scheduled(), len(c.Layers))
	}
	return nil
}

// roomFor refuses a budget that the entries which stay in any case fill.
func roomFor(c Cell, stay int, what string, budget Entries) error {
	if budget.Of(c.SeqLen) < stay+1 {
		return fmt.Errorf("budget of %s is below %s + 1 = %d", budget.describe(c.SeqLen), what, stay+1)
	}
	return nil
}

// queriesFrom refuses a trace that lacks queries from a token on; what names those that are needed. A method looks at no
// query of the prompt that its Fit does not ask for: others are not read.
func queriesFrom(c Cell, first int, what string, args ...any) error {
	if c.asked != nil {
		*c.asked = min(*c.asked, first)
	}
	if c.FirstQuery > first {
		return fmt.Errorf("needs %s; the trace holds those from token %d on", fmt.Sprintf(what, args...), c.FirstQuery)
	}
	return nil
}

// allQueries wants those of the whole prompt.
func allQueries(c Cell) error { return queriesFrom(c, 0, "the queries of the whole prompt") }

// someQueries wants any of the prompt, and looks at all that the trace holds.
func someQueries(c Cell, what string) error {
	err := queriesFrom(c, c.Prompt()-1, "%s", what)
	if c.asked != nil {
		*c.asked = 0
	}
	return err
}

// lastQueries wants the last n of the prompt, or all where they are fewer.
func lastQueries(c Cell, n int) error {
	first := max(0, c.Prompt()-n)
	return queriesFrom(c, first, "the last %d prompt queries, from token %d on", n, first)
}

// errRope says what undoing the rotary embedding needs.
var errRope = errors.New("needs keys of single heads under a rotary embedding whose frequencies the trace names")

// ownRotation wants keys from which the rotary embedding can be taken back head by head.
func ownRotation(c Cell) error {
	if !c.HasRope || c.Folded {
		return errRope
	}
	return nil
}

// unfitted wants rows that no map was fitted to.
func unfitted(c Cell, why string) error {
	if c.Folded {
		return errors.New(why)
	}
	return nil
}

// notLatent wants a key and a value for each head.
func notLatent(c Cell) error {
	if c.Latent || c.Rebuilt {
		return errors.New("rows are latent already")
	}
	return nil
}

// storedKeys wants the keys that a step reads to be stored: what drops entries, or chooses which are read, scores them.
func storedKeys(c Cell, name, before string) error {
	if c.Rebuilt {
		return fmt.Errorf("%s needs the keys that a step reads, but %s rebuilds them at every step", name, before)
	}
	return nil
}

// prunable wants keys whose channels can be dropped from the prompt's rows.
func prunable(c Cell) error {
	switch {
	case c.Rebuilt:
		return errors.New("keys are rebuilt at every step: none of their channels is stored")
	case c.Latent:
		return errors.New("a latent row is key and value at once: its channels cannot be dropped from the key alone")
	case c.Moving:
		return errors.New("entries are dropped or overwritten while decoding: prompt keys cannot be packed")
	}
	return nil
}

// mergeable wants rows of the prompt whose directions two layers can share.
func mergeable(c Cell) error {
	switch {
	case c.Rebuilt || c.Latent:
		return errors.New("a latent row is key and value at once, or keys are rebuilt from it: layers share directions of keys and of values")
	case c.Packed:
		return errors.New("keys lack channels of their own in each layer: their directions cannot be shared")
	case c.Moving:
		return errors.New("entries are dropped or overwritten while decoding: prompt rows cannot be packed")
	}
	return nil
}

// errPackedRows says what prompts that are stored apart are stored in.
var errPackedRows = errors.New("prompt rows that are packed already need a format of single channels, a row at a time")

// encodable wants rows that a codec can store.
func encodable(c Cell, d *cache.Codec) error {
	rotated, grouped := d.HadamardK != nil || d.HadamardV != nil, d.K.Grouped() || d.V.Grouped()
	switch {
	case c.Packed && (rotated || grouped || d.K.Format == kernel.Blocked || d.V.Format == kernel.Blocked):
		return errPackedRows
	case c.Rebuilt && (rotated || grouped):
		return errors.New("keys that are rebuilt at every step need latent rows that are stored one by one, as they are")
	case c.Rolled && rotated:
		return errors.New("roll=on rotates keys as they are read, which a Hadamard rotation has mixed")
	}
	return nil
}

// wholeBlocks wants rows of whole blocks of n channels.
func wholeBlocks(c Cell, s side, n int) error {
	if c.Packed {
		return errPackedRows
	}
	for _, channels := range []int{s.channels, s.inner} {
		if channels%n != 0 {
			return fmt.Errorf("rows of %d channels are not whole blocks of %d", channels, n)
		}
	}
	return nil
}

// allTokens wants every token in every head, for the reason given.
func allTokens(c Cell, why string) error {
	if c.Moving || c.Thinned {
		return errors.New(why)
	}
	return nil
}

// onlyEviction wants what a method can evict from and then keep an index of.
func onlyEviction(c Cell) error {
	return cmp.Or(allTokens(c, "evicts for itself and does not come after another eviction"), indexable(c))
}

// indexable wants entries that stay where they are, in rows of their own, for an index of their keys.
func indexable(c Cell) error {
	switch {
	case c.Moving:
		return errors.New("keeps an index of the entries, which must not move: the stage before drops or overwrites entries while decoding")
	case c.Packed:
		return errors.New("keeps an index of the keys, but those of the prompt are packed")
	case c.Grouped:
		return errors.New("reads single rows, but rows share scales or wait to be packed")
	}
	return nil
}
