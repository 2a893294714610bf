package report

import (
	"fmt"
	"math"

	"kvgauge/sim/record"
)

// gapOf are the errors of two bounds on the choice of entries: what chance has, and what foresight has. Bounds are
// not told apart by name: the one with the larger error is what a policy must beat.
type gapOf struct{ chance, foresight float64 }

// gaps finds the bounds of a section, by what a pipeline shares with those that it is held against.
func (s section) gaps() map[string]gapOf {
	all := map[string]gapOf{}
	for _, r := range s.records {
		key := s.rivals(r)
		if !isBound(r) || r.Error == nil || key == "" || r.TargetBytes != nil && (r.Family != bound || budgetKey(r.Pipeline) == "") {
			continue
		}
		e := r.Error.RelL2
		g, ok := all[key]
		if !ok {
			g = gapOf{e, e}
		}
		all[key] = gapOf{max(g.chance, e), min(g.foresight, e)}
	}
	return all
}

// rivals is the same for pipelines that compare: those of one size, or else of one budget and the same other
// stages; "" where a pipeline has no budget.
func (s section) rivals(r record.Record) string {
	switch {
	case r.TargetBytes != nil:
		return fmt.Sprintf("%d bytes", *r.TargetBytes)
	case r.Family == external:
		return s.sizeKey(r)
	}
	return budgetKey(r.Pipeline)
}

// sameSize is how far apart the bytes of caches of one size are, at most, as a share. Equal-bytes runs call a cache off
// target beyond that.
const sameSize = 0.01

// sizeKey is the key of the bounds whose entries take as many bytes as those that a result made elsewhere keeps, which
// names no budget: what a policy could reach depends on how much it keeps. It is "" where no bound is of that size.
func (s section) sizeKey(r record.Record) string {
	size, nearest, key := entryBytes(r), sameSize, ""
	for _, b := range s.records {
		if b.Family != bound || budgetKey(b.Pipeline) == "" {
			continue
		}
		if off := math.Abs(size/entryBytes(b) - 1); off < nearest { // NaN is not
			nearest, key = off, budgetKey(b.Pipeline)
		}
	}
	return key
}

// entryBytes is what the entries of a cache take, without metadata: NaN where it is not known, as with rows that were
// reconstructed elsewhere, of which nothing was stored.
func entryBytes(r record.Record) float64 {
	if r.CacheBytes == nil || r.MetadataBytes == nil {
		return math.NaN()
	}
	return float64(*r.CacheBytes - *r.MetadataBytes)
}

// budgetKey is a pipeline with the stage that names a budget replaced by the budget: budget=25%+b of
// a:budget=25%,c=1+b. It is "" where no stage does.
func budgetKey(pipeline string) string {
	p := record.ParsePipeline(pipeline)
	for i, s := range p {
		for _, param := range s.Params {
			if param.Key() == "budget" {
				p[i] = record.Stage{Method: string(param)}
				return p.String()
			}
		}
	}
	return ""
}

// gapColumn shows which share of the gap between chance and foresight a method closes. Below 0 it is worse
// than chance; above 1 it does what no choice of entries can.
func (s section) gapColumn() column {
	all := s.gaps()
	return column{
		name:  "gap",
		about: "share that is closed of the gap in rel_l2 between the bounds with the largest and the least error, at the same budget or bytes",
		value: func(r record.Record) *float64 {
			g, ok := all[s.rivals(r)]
			if !ok || g.chance == g.foresight || !competes(r) || r.Error == nil {
				return nil
			}
			v := (g.chance - r.Error.RelL2) / (g.chance - g.foresight)
			return &v
		},
		text: plain(percentText),
		rank: 3,
	}
}
