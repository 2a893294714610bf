package report

import (
	"fmt"
	"slices"

	"kvgauge/sim/record"
)

// apart renames traces where several share a name, so that headings and panels tell them apart:
//
//	smollm2 [sha256 1f3a9c02d4e5]
//
// It names the first of content, layers, seed, windows and, of one length, decoded tokens in which those of a name differ,
// and the next where this leaves some alike. The records of one run have no such traces.
func apart(records []record.Record) []record.Record {
	aspects := []func(record.Record) string{
		func(r record.Record) string { return "sha256 " + short(r.TraceSHA256) },
		func(r record.Record) string { return "layers " + record.LayerList(r.Layers) },
		func(r record.Record) string { return fmt.Sprintf("seed %d", r.Seed) },
		func(r record.Record) string { return fmt.Sprintf("windows %d", r.Windows) },
		func(r record.Record) string { return fmt.Sprintf("decode %d", r.Decode) },
	}
	type name struct {
		trace, marks string
		seqLen       int // 0: of all lengths
	}
	names := make([]name, len(records))
	for i, r := range records {
		names[i].trace = r.Trace
	}
	for k, aspect := range aspects {
		texts := map[name]map[string]bool{}
		for i, r := range records {
			if k == len(aspects)-1 {
				names[i].seqLen = r.SeqLen // longer sequences decode more
			}
			if texts[names[i]] == nil {
				texts[names[i]] = map[string]bool{}
			}
			texts[names[i]][aspect(r)] = true
		}
		for i, r := range records {
			if len(texts[names[i]]) > 1 {
				names[i].marks += ", " + aspect(r)
			}
		}
	}
	out := slices.Clone(records)
	for i, n := range names {
		if n.marks != "" {
			out[i].Trace = fmt.Sprintf("%s [%s]", n.trace, n.marks[len(", "):])
		}
	}
	return out
}

// short is the start of a hash, by which people know it.
func short(hash string) string { return hash[:min(len(hash), 12)] }
