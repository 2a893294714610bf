package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"kvgauge/sim/offer"
	"kvgauge/sim/record"
)

// recommendationFormats are how a recommendation is written; the first is the default.
var recommendationFormats = []struct {
	name  string
	write func(io.Writer, *Recommendation) error
}{
	{"text", writeRecommendationText},
	{"markdown", writeRecommendationMarkdown},
	{"json", writeRecommendationJSON},
}

// RecommendationFormats returns the names of the formats of a recommendation.
func RecommendationFormats() (names []string) {
	for _, f := range recommendationFormats {
		names = append(names, f.name)
	}
	return names
}

// WriteRecommendation writes a recommendation in a format.
func WriteRecommendation(w io.Writer, r *Recommendation, format string) error {
	for _, f := range recommendationFormats {
		if f.name == format {
			return f.write(w, r)
		}
	}
	return fmt.Errorf("format %q: want one of %s", format, strings.Join(RecommendationFormats(), ", "))
}

// writeRecommendationJSON writes one object.
func writeRecommendationJSON(w io.Writer, r *Recommendation) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// part is a part of a recommendation under a heading of its own.
type part struct {
	heading string
	table   [][]string // the first row is its header; nil: none
	lines   []line
}

// line is a sentence, or code with what there is to say of it.
type line struct {
	text string
	code string
}

// answer is the recommendation in one sentence.
func (r *Recommendation) answer() string {
	var limits []string
	if r.Ask.MaxError != nil {
		limits = append(limits, boundText(*r.Ask.MaxError)+" of error")
	}
	if r.Ask.MaxBytes != nil {
		limits = append(limits, boundText(*r.Ask.MaxBytes)+" of the bytes")
	}
	among := record.Count(r.Of, "pipeline", "")
	if r.Ask.Engine != "" {
		among += " that " + offer.Title(r.Ask.Engine) + " offers"
	}
	within := strings.Join(limits, " and ")
	switch {
	case r.Of == 0:
		return "use full: no other pipeline" + strings.TrimPrefix(among, "0 pipelines") + " was measured"
	case r.Choice == nil && r.Nearest == nil:
		return "use full: none of " + among + " was measured with a smaller cache"
	case r.Choice == nil:
		return fmt.Sprintf("use full: none of %s is within %s; nearest is %s", among, within, r.Nearest.summary())
	case r.Ask.MaxError != nil:
		return fmt.Sprintf("use %s: the smallest cache within %s, of %s", r.Choice.summary(), within, among)
	}
	return fmt.Sprintf("use %s: the least error within %s, of %s", r.Choice.summary(), within, among)
}

// boundText is a share as somebody asked for it: 5 %.
func boundText(share float64) string { return strconv.FormatFloat(100*share, 'g', 6, 64) + " %" }

// summary is an option with its figures.
func (o *Option) summary() string {
	text := figuresText(o.name(), o.OfFull, o.Error, o.Recall)
	for _, skip := range o.Skipped {
		text = strings.TrimSuffix(text, ")") + ", not on " + oneLine(skip.Trace) + ")"
	}
	return text
}

// figuresText is a name with its figures.
func figuresText(name string, bytes, err float64, recall *float64) string {
	text := fmt.Sprintf("%s (%s of full, error %s", name, percentText(bytes), percentText(err))
	if recall != nil && *recall < 1 {
		text += ", " + percentText(*recall) + " of the needles"
	}
	return text + ")"
}

// parts are all that is said after the answer.
func (r *Recommendation) parts() []part {
	var parts []part
	add := func(p part) {
		if p.table != nil || p.lines != nil {
			parts = append(parts, p)
		}
	}
	add(r.figures())
	add(r.changesPart())
	add(part{heading: "what the figures leave open", lines: sentences(append(r.Doubts, noteLocal))})
	add(r.modelPart())
	add(r.switchPart())
	var left []line
	for _, l := range r.LeftOut {
		left = append(left, line{text: l.Reason + ": " + oneLine(someOf(l.Pipelines))})
	}
	add(part{heading: "left out", lines: left})
	return parts
}

// figures are those of the choice and the runner-up, or of what comes nearest, on each trace.
func (r *Recommendation) figures() part {
	p := part{table: [][]string{{"", "trace", "tokens", "of full", "error", "step", "needles"}}}
	for _, o := range []struct {
		as     string
		option *Option
	}{{"choice", r.Choice}, {"runner-up", r.RunnerUp}, {"nearest", r.Nearest}} {
		if o.option == nil {
			continue
		}
		for i, c := range o.option.Cells {
			rec := o.option.records[i]
			step, needles := "-", "-"
			if rec.Latency != nil {
				step = ratioText(rec.Latency.RatioToFull)
			}
			if rec.Error.Recall != nil {
				needles = percentText(*rec.Error.Recall)
			}
			p.table = append(p.table, []string{o.as, oneLine(c.Trace), lengthText(c.SeqLen), percentText(c.OfFull), errorText(rec, c.Error), step, needles})
			o.as = ""
		}
	}
	if len(p.table) == 1 {
		return part{}
	}
	for c := len(p.table[0]) - 1; c >= 0; c-- { // what nothing has
		if !slices.ContainsFunc(p.table[1:], func(row []string) bool { return row[c] != "-" }) {
			for i, row := range p.table {
				p.table[i] = slices.Delete(row, c, c+1)
			}
		}
	}
	if r.RunnerUp != nil {
		p.lines = append(p.lines, line{text: "runner-up: " + r.RunnerUp.summary()})
	} else if r.Choice != nil {
		p.lines = append(p.lines, line{text: "runner-up: none"})
	}
	return p
}

// changesPart is what would change the choice.
func (r *Recommendation) changesPart() part {
	p := part{heading: "what would change it"}
	for _, c := range r.Changes {
		then := "nothing but full"
		if c.Pipeline != "" {
			then = figuresText(c.Pipeline, *c.OfFull, *c.Error, c.Recall)
		} else if c.Kind == "engine" {
			then = "none"
		}
		p.lines = append(p.lines, line{text: c.When + ": " + then})
	}
	return p
}

// modelPart is what the caches take on a model.
func (r *Recommendation) modelPart() part {
	var p part
	for _, o := range []*Option{r.Choice, r.RunnerUp, r.Nearest} {
		if o == nil {
			continue
		}
		for _, m := range o.Model {
			p.heading = "on " + oneLine(m.Model)
			text := fmt.Sprintf("%s at %s tokens: ", o.name(), lengthText(m.SeqLen))
			if m.CacheBytes == nil {
				text += m.Reason
			} else {
				text += byteText(float64(*m.CacheBytes))
				if m.FullBytes != nil {
					text += " of " + byteText(float64(*m.FullBytes))
				}
				text += " a sequence (engine " + m.Engine
				if m.Note != "" {
					text += "; " + m.Note
				}
				text += ")"
			}
			p.lines = append(p.lines, line{text: oneLine(text)})
		}
	}
	return p
}

// switchPart is how the choice is switched on.
func (r *Recommendation) switchPart() part {
	p := part{heading: "how to switch it on"}
	if r.Choice == nil {
		return part{}
	}
	if len(r.Choice.Engines) == 0 {
		p.lines = []line{{text: "Not offered by any engine that we know. " + r.Choice.NoEngine}}
		return p
	}
	for _, s := range r.Choice.Engines {
		if r.Ask.Engine != "" && s.Engine != r.Ask.Engine {
			continue
		}
		text := s.Title + " " + s.Version
		if s.Fit == offer.Like {
			text += ", its own form of it"
		}
		text += fmt.Sprintf(" (seen %s in %s)", s.Seen, s.Source)
		if s.Note != "" {
			text += ": " + s.Note
		}
		p.lines = append(p.lines, line{text: text, code: s.Line})
	}
	return p
}

// sentences are lines of text.
func sentences(texts []string) (lines []line) {
	for _, t := range texts {
		lines = append(lines, line{text: t})
	}
	return lines
}

// someOf lists up to six names, and how many more there are.
func someOf(names []string) string {
	const most = 6
	if len(names) <= most+1 {
		return strings.Join(names, " ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], " "), len(names)-most)
}

// writeRecommendationText prints for a terminal.
func writeRecommendationText(w io.Writer, r *Recommendation) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s\n", r.answer())
	for _, p := range r.parts() {
		fmt.Fprintln(b)
		indent := ""
		if p.heading != "" {
			fmt.Fprintln(b, p.heading)
			indent = "  "
		}
		if p.table != nil {
			t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
			for _, row := range p.table {
				fmt.Fprintln(t, strings.Join(row, "\t"))
			}
			if err := t.Flush(); err != nil {
				return err
			}
		}
		for _, l := range p.lines {
			fmt.Fprintf(b, "%s%s\n", indent, l.text)
			if l.code != "" {
				fmt.Fprintf(b, "%s  %s\n", indent, l.code)
			}
		}
	}
	return b.Flush()
}

// writeRecommendationMarkdown prints for a page.
func writeRecommendationMarkdown(w io.Writer, r *Recommendation) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "**%s**\n", escapeMarkdown(r.answer()))
	for _, p := range r.parts() {
		if p.heading != "" {
			fmt.Fprintf(b, "\n### %s\n", escapeMarkdown(p.heading))
		}
		for i, row := range p.table {
			if i == 0 {
				fmt.Fprintln(b)
			}
			fmt.Fprint(b, "|")
			for _, cell := range row {
				fmt.Fprintf(b, " %s |", escapeMarkdown(cell))
			}
			fmt.Fprintln(b)
			if i == 0 {
				fmt.Fprintf(b, "|%s%s\n", strings.Repeat(" :--- |", 2), strings.Repeat(" ---: |", len(row)-2))
			}
		}
		if p.lines != nil {
			fmt.Fprintln(b)
		}
		for _, l := range p.lines {
			fmt.Fprintf(b, "- %s\n", escapeMarkdown(l.text))
			if l.code != "" {
				fmt.Fprintf(b, "\n      %s\n\n", l.code)
			}
		}
	}
	return b.Flush()
}
