package method

import "slices"

// Family groups methods by what they reduce.
type Family string

const (
	Baseline     Family = "baseline"     // nothing: the reference
	Sharing      Family = "sharing"      // heads or layers that use one cache
	Latent       Family = "latent"       // rows in a basis of lower rank
	Eviction     Family = "eviction"     // entries
	Channel      Family = "channel"      // dimensions of keys
	Merging      Family = "merging"      // rows of adjacent layers
	Quantisation Family = "quantisation" // bits
	Selection    Family = "selection"    // entries read, not entries held
	Bound        Family = "bound"        // entries or rank, chosen without a policy: what others are held against
)

// families lists them in the order of lists and sets.
var families = []Family{Baseline, Sharing, Latent, Eviction, Channel, Merging, Quantisation, Selection, Bound}

// stage is the place of a family in a pipeline: each stage sees what the one before would have cached,
// so that sharing comes before latent before eviction before quantisation. Families with the same place
// exclude each other.
func (f Family) stage() int {
	order := [][]Family{{Baseline}, {Sharing}, {Latent}, {Eviction}, {Channel}, {Merging}, {Quantisation}, {Selection}}
	return slices.IndexFunc(order, func(fs []Family) bool { return slices.Contains(fs, f) })
}

// partial says whether a family's caches lack entries, or reads of them, that the full cache has.
func (f Family) partial() bool { return f == Eviction || f == Selection }
