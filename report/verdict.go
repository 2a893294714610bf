package report

import (
	"fmt"
	"slices"
	"strings"

	"kvgauge/sim/record"
)

// verdictErrors are the errors within which a verdict names the smallest cache.
var verdictErrors = []float64{0.01, 0.05, 0.10}

// verdict names the smallest cache within each error, at equal bytes the least error, or "" where no error was
// measured. Bounds cannot
// be had, and a cache that is not smaller than full is no reduction: neither wins.
func verdict(s section) string {
	if !slices.ContainsFunc(s.records, func(r record.Record) bool { return r.Error != nil }) {
		return ""
	}
	if s.equalBytes() {
		return rankVerdict(s)
	}
	none := "none"
	if slices.ContainsFunc(s.records, isBaseline) {
		none = "none but " + oneLine(s.records[slices.IndexFunc(s.records, isBaseline)].Pipeline)
	}
	var parts []string
	for _, e := range verdictErrors {
		text := none
		if w := smallestWithin(s.records, e); w != nil {
			text = fmt.Sprintf("%s (%s, %s of full)", oneLine(w.Pipeline), byteText(float64(*w.CacheBytes)), percentText(*ofFull(*w)))
		}
		parts = append(parts, fmt.Sprintf("%g %%: %s", 100*e, text))
	}
	return "smallest cache with an error within " + strings.Join(parts, "; ")
}

// smallestWithin returns the record with the smallest cache whose error is at most e, the one with less
// error among equals; nil where there is none.
func smallestWithin(records []record.Record, e float64) *record.Record {
	var best *record.Record
	for i, r := range records {
		if !competes(r) || !smaller(r) || r.Error == nil || r.Error.RelL2 > e {
			continue
		}
		if best == nil || *r.CacheBytes < *best.CacheBytes ||
			*r.CacheBytes == *best.CacheBytes && r.Error.RelL2 < best.Error.RelL2 {
			best = &records[i]
		}
	}
	return best
}
