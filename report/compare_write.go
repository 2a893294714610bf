package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"kvgauge/sim/record"
)

// comparisonFormats are the formats of a comparison, the default first.
var comparisonFormats = []struct {
	name  string
	write func(io.Writer, *Comparison) error
}{
	{"table", writeComparisonTable},
	{"markdown", writeComparisonMarkdown},
	{"json", writeComparisonJSON},
	{"junit", writeComparisonJUnit},
}

// ComparisonFormats returns their names.
func ComparisonFormats() []string {
	var names []string
	for _, f := range comparisonFormats {
		names = append(names, f.name)
	}
	return names
}

// WriteComparison writes a comparison in a format.
func WriteComparison(w io.Writer, c *Comparison, format string) error {
	for _, f := range comparisonFormats {
		if f.name == format {
			return f.write(w, c)
		}
	}
	return fmt.Errorf("format %q: want one of %s", format, strings.Join(ComparisonFormats(), ", "))
}

// sorted are the changes, regressions first.
func (c *Comparison) sorted() []Change {
	rank := map[Verdict]int{Regression: 0, Allowed: 1, Improvement: 2}
	all := slices.Clone(c.Changes)
	slices.SortStableFunc(all, func(a, b Change) int { return rank[a.Verdict] - rank[b.Verdict] })
	return all
}

// verdict is the comparison in one sentence.
func (c *Comparison) verdict() string {
	counts := map[Verdict]int{}
	for _, ch := range c.Changes {
		counts[ch.Verdict]++
	}
	what := fmt.Sprintf("%s, %d in both runs", record.Count(c.Cells, "cell", ""), c.Matched)
	if c.Measured < c.Matched {
		what += fmt.Sprintf(", %d measured in both", c.Measured)
	}
	if c.Limits.Latency != nil {
		what += fmt.Sprintf(", %d timed", c.Timed)
	}
	return fmt.Sprintf("%s: %s, %s within the limits, %s", what,
		record.Count(counts[Regression], "regression", ""), record.Count(counts[Allowed], "change", ""), record.Count(counts[Improvement], "improvement", ""))
}

// limits says what was allowed.
func (c *Comparison) limits() string {
	text := fmt.Sprintf("limits: bytes +%s, errors +%s", percentText(c.Limits.Bytes), percentText(c.Limits.Error))
	if c.Limits.Latency != nil {
		text += fmt.Sprintf(", latency over full +%s and +%sx where significant", percentText(*c.Limits.Latency), digits(ratioFloor, 2))
	} else {
		text += ", latency not compared"
	}
	if c.Limits.AllowMissing {
		text += ", cells may be missing, new, skipped or failed"
	}
	return text
}

// subject is what a change is of: the kind of a cell's fate, or a figure.
func (ch Change) subject() string {
	if ch.Figure == "" {
		return ch.Kind
	}
	return ch.Figure
}

func writeComparisonTable(w io.Writer, c *Comparison) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(c.Changes) > 0 {
		fmt.Fprintln(t, "verdict\ttrace\tlength\tpipeline\tfigure\tchange")
	}
	for _, ch := range c.sorted() {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", ch.Verdict, oneLine(c.traces[ch.cell]), lengthText(ch.SeqLen), oneLine(ch.Pipeline), ch.subject(), ch.Text)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n", c.verdict(), c.limits())
	return err
}

func writeComparisonMarkdown(w io.Writer, c *Comparison) error {
	b := bufio.NewWriter(w)
	heading := "kvgauge: no regression"
	if c.Regressions > 0 {
		heading = "kvgauge: " + record.Count(c.Regressions, "regression", "")
	}
	fmt.Fprintf(b, "## %s\n\n%s\n\n", heading, escapeMarkdown(c.verdict()))
	if len(c.Changes) > 0 {
		fmt.Fprint(b, "| verdict | trace | length | pipeline | figure | change |\n| :--- | :--- | ---: | :--- | :--- | :--- |\n")
	}
	for _, ch := range c.sorted() {
		verdict := string(ch.Verdict)
		if ch.Verdict == Regression {
			verdict = "**regression**"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", verdict, escapeMarkdown(oneLine(c.traces[ch.cell])), lengthText(ch.SeqLen),
			escapeMarkdown(oneLine(ch.Pipeline)), escapeMarkdown(ch.subject()), escapeMarkdown(ch.Text))
	}
	fmt.Fprintf(b, "\n%s\n", escapeMarkdown(c.limits()))
	return b.Flush()
}

func writeComparisonJSON(w io.Writer, c *Comparison) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(c)
}
