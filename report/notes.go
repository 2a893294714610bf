package report

import (
	"fmt"
	"slices"
	"strings"

	"kvgauge/sim/record"
)

// The sentences that tables and pictures share.
const (
	noteLocal     = "Errors are local: attention with the unreduced model's inputs, against float64 over the whole cache. They are not an end-to-end score: over layers they can add up or cancel."
	noteRetrained = "Methods that change the architecture (families sharing and latent) are applied to a model trained without them: their error is what conversion alone costs, before any uptraining."
	noteWarm      = "Latency is warm: a step may find its cache in the last-level cache of the CPU, where real decoding reads DRAM. run.json says why."
	noteCold      = "Latency is cold: each layer of a step reads its cache from DRAM, as real decoding does."
	noteMixed     = "Latency is cold (the cache comes from DRAM) for some pipelines and warm for others: compare with care."
	noteNoisy     = "noisy: the 95 % interval of the ratio to full reaches more than 20 % from it; other work on the machine disturbed the steps"
	noteBounds    = "Pipelines of family bound are no methods: they say what a policy could reach, or must beat."
)

// notes collects the footnotes of rows, each text once, numbered from 1 in order of appearance.
type notes struct {
	texts []string
}

// markers returns the markers of a record's footnotes: " [1,3]", or "" where it has none.
func (n *notes) markers(r record.Record) string {
	var texts []string
	if r.Status != record.OK {
		texts = append(texts, fmt.Sprintf("%s: %s", r.Status, r.Reason))
	}
	for _, w := range r.Warnings {
		texts = append(texts, fmt.Sprintf("%s: %s", w.Code, w.Text))
	}
	if noisy(r) {
		texts = append(texts, noteNoisy)
	}
	if len(texts) == 0 {
		return ""
	}
	var marks []string
	for _, t := range texts {
		t = oneLine(t)
		i := slices.Index(n.texts, t)
		if i < 0 {
			i = len(n.texts)
			n.texts = append(n.texts, t)
		}
		marks = append(marks, fmt.Sprint(i+1))
	}
	return " [" + strings.Join(marks, ",") + "]"
}

// general are the sentences that hold for a set of records: what the figures are, and are not.
func general(records []record.Record) []string {
	var lines []string
	if slices.ContainsFunc(records, func(r record.Record) bool { return r.Error != nil }) {
		lines = append(lines, noteLocal)
		if slices.ContainsFunc(records, func(r record.Record) bool { return r.Error != nil && isRetrained(r) }) {
			lines = append(lines, noteRetrained)
		}
	}
	if l := noteLatency(records); l != "" {
		lines = append(lines, l)
	}
	if slices.ContainsFunc(records, isBound) {
		lines = append(lines, noteBounds)
	}
	return lines
}

// noteLatency says whether steps found their caches in DRAM, or "" where none was timed.
func noteLatency(records []record.Record) string {
	var cold, warm bool
	for _, r := range records {
		if r.Latency != nil {
			cold, warm = cold || r.Latency.Cold, warm || !r.Latency.Cold
		}
	}
	switch {
	case cold && warm:
		return noteMixed
	case cold:
		return noteCold
	case warm:
		return noteWarm
	}
	return ""
}

// glossary explains the columns of layouts, each once.
func glossary(layouts []layout) []string {
	var lines []string
	for _, l := range layouts {
		for _, c := range l.columns {
			if line := c.name + ": " + c.about; !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}
