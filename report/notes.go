package report

import (
	"fmt"
	"regexp"
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
	noteWindows   = "Of a layer with a window or chunks the full cache holds no more rows than these span. Methods that drop, select or merge entries leave such layers as they are unless scope=all."
	noteBounds    = "Pipelines of family bound are no methods: they say what a policy could reach, or must beat."
)

// notes collects the footnotes of rows, one for each cause, numbered from 1 in order of appearance.
type notes struct{ causes []cause }

// cause is what several footnotes have in common: all but their figures and pipelines.
type cause struct {
	key   string
	texts []string // each once
	of    []string // [text] the first pipeline that has it
}

// particulars are what footnotes of one cause differ in: pipelines with parameters, and figures.
var particulars = regexp.MustCompile(`[a-z0-9_]+:[a-z_]+=\S+|[a-z_]+=\S+|[0-9]+(\.[0-9]+)?( [KMGT]?i?B)?`)

// spelledOut is how many texts of a cause a footnote has in full.
const spelledOut = 3

// text is the footnote: of several texts the first few, with what they begin with alike once, and the pipelines whose figures
// are others.
func (c cause) text() string {
	if len(c.texts) == 1 {
		return c.texts[0]
	}
	kind, _, _ := strings.Cut(c.texts[0], ": ")
	var parts []string
	for i, t := range c.texts[:min(spelledOut, len(c.texts))] {
		if i > 0 {
			t = strings.TrimPrefix(t, kind+": ")
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", t, c.of[i]))
	}
	if more := c.of[len(parts):]; len(more) > 0 {
		parts = append(parts, "with other figures "+strings.Join(more, ", "))
	}
	return strings.Join(parts, "; ")
}

// codeOfTrace is that of warnings about the trace, which every pipeline's record has: they are footnotes of the heading.
const codeOfTrace = "unknown-field"

// ofTrace are the texts of the footnotes that all records of a section have from their trace.
func ofTrace(s section) []string {
	var texts []string
	for _, r := range s.records {
		for _, w := range r.Warnings {
			if w.Code == codeOfTrace {
				texts = append(texts, warningText(w))
			}
		}
	}
	return texts
}

// ofRecord are the texts of the footnotes of a record's own.
func ofRecord(r record.Record) []string {
	var texts []string
	if r.Status != record.OK {
		texts = append(texts, fmt.Sprintf("%s: %s", r.Status, r.Reason))
	}
	for _, w := range r.Warnings {
		if w.Code != codeOfTrace {
			texts = append(texts, warningText(w))
		}
	}
	if t := changedText(r); t != "" {
		texts = append(texts, t)
	}
	if noisy(r) {
		texts = append(texts, noteNoisy)
	}
	return texts
}

func warningText(w record.Warning) string { return fmt.Sprintf("%s: %s", w.Code, w.Text) }

// changedText says how many layers a pipeline changed where it may have left those with a window or chunks alone, which is
// why its cache is larger and its error smaller than its parameters let expect; "" where it changed all.
func changedText(r record.Record) string {
	ringed := 0
	for _, s := range r.Shapes {
		if s.Ring() {
			ringed++
		}
	}
	if ringed == 0 || isBaseline(r) || r.ChangedLayers == nil || *r.ChangedLayers >= len(r.Layers) {
		return ""
	}
	return fmt.Sprintf("changed %d of %s; with a window or chunks: %d", *r.ChangedLayers, layersText(len(r.Layers)), ringed)
}

// markers returns the markers of a pipeline's footnotes, or with no pipeline of the heading's, " [1,3]", or "" of none; nil has none.
func (n *notes) markers(pipeline string, texts []string) string {
	if n == nil {
		return ""
	}
	var marks []string
	for _, t := range texts {
		t = oneLine(t)
		key := t
		if pipeline != "" {
			key = particulars.ReplaceAllString(t, "")
		}
		i := slices.IndexFunc(n.causes, func(c cause) bool { return c.key == key })
		if i < 0 {
			i = len(n.causes)
			n.causes = append(n.causes, cause{key: key})
		}
		if c := &n.causes[i]; !slices.Contains(c.texts, t) {
			c.texts, c.of = append(c.texts, t), append(c.of, oneLine(pipeline))
		}
		if mark := fmt.Sprint(i + 1); !slices.Contains(marks, mark) {
			marks = append(marks, mark)
		}
	}
	if marks == nil {
		return ""
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
	if slices.ContainsFunc(records, hasWindows) {
		lines = append(lines, noteWindows)
	}
	if slices.ContainsFunc(records, isBound) {
		lines = append(lines, noteBounds)
	}
	return lines
}

// hasWindows says whether some layer of a record reads a window or a chunk of the keys alone.
func hasWindows(r record.Record) bool { return slices.ContainsFunc(r.Shapes, record.Shape.Ring) }

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
