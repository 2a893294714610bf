package report

import (
	"slices"
	"strings"

	"kvgauge/sim/record"
)

// The families that reports treat apart; sim/method declares them.
const (
	baseline = "baseline" // the reference
	bound    = "bound"    // what others are held against: no policy could be it
	external = "external" // results that were made elsewhere, under names that say nothing of them
)

// retrained are the families that change the architecture and are applied without training.
var retrained = []string{"sharing", "latent"}

// families splits the family of a pipeline.
func families(r record.Record) []string { return strings.Split(r.Family, "+") }

func isBaseline(r record.Record) bool { return r.Family == baseline }

func isBound(r record.Record) bool { return slices.Contains(families(r), bound) }

func isRetrained(r record.Record) bool {
	return slices.ContainsFunc(families(r), func(f string) bool { return slices.Contains(retrained, f) })
}

// smaller says whether a pipeline's cache is smaller than the full one.
func smaller(r record.Record) bool {
	return r.CacheBytes != nil && r.CacheBytesFull != nil && *r.CacheBytes < *r.CacheBytesFull
}

// competes says whether a pipeline can be the best of a column: it was measured, is neither the
// reference nor a bound, and holds or reads less than the full cache. One that reduces nothing on a
// trace would else have the least error there.
func competes(r record.Record) bool {
	if r.Status != record.OK || isBaseline(r) || isBound(r) {
		return false
	}
	reads := r.TrafficBytes != nil && r.CacheBytesFull != nil && *r.TrafficBytes < *r.CacheBytesFull
	return smaller(r) || reads
}
