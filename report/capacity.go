package report

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter/tw"

	"kvgauge/sim/record"
)

// capacityFormats are how a plan is written; the first is the default.
var capacityFormats = []struct {
	name  string
	write func(io.Writer, []record.Capacity, Options) error
}{
	{"table", writeCapacityTable},
	{"markdown", writeCapacityMarkdown},
	{"csv", writeCapacityCSV},
	{"json", writeCapacityJSON},
}

// CapacityFormats returns the names of the formats of a plan.
func CapacityFormats() (names []string) {
	for _, f := range capacityFormats {
		names = append(names, f.name)
	}
	return names
}

// WriteCapacities writes the lines of a plan: in their order, or where a memory was given by what each pipeline buys.
func WriteCapacities(w io.Writer, lines []record.Capacity, o Options) error {
	lines = byGain(lines)
	for _, f := range capacityFormats {
		if f.name == o.Format {
			return f.write(w, lines, o)
		}
	}
	return fmt.Errorf("format %q: want one of %s", o.Format, strings.Join(CapacityFormats(), ", "))
}

// byGain sorts the lines of each length by the longest context and the most sequences, where a memory was given.
func byGain(lines []record.Capacity) []record.Capacity {
	lines = slices.Clone(lines)
	if lines[0].MemoryBytes == nil {
		return lines
	}
	gain := func(n *int64) int64 {
		if n == nil {
			return -1
		}
		return *n
	}
	order := map[int]int{}
	for _, c := range lines {
		if _, ok := order[c.SeqLen]; !ok {
			order[c.SeqLen] = len(order)
		}
	}
	slices.SortStableFunc(lines, func(a, b record.Capacity) int {
		return cmp.Or(
			cmp.Compare(order[a.SeqLen], order[b.SeqLen]),
			cmp.Compare(gain(b.MaxBatch), gain(a.MaxBatch)), cmp.Compare(gain(b.MaxContext), gain(a.MaxContext)),
		)
	})
	return lines
}

// writeCapacityJSON writes an array, a line an object.
func writeCapacityJSON(w io.Writer, lines []record.Capacity, _ Options) error {
	b := bufio.NewWriter(w)
	fmt.Fprint(b, "[")
	for i, c := range lines {
		line, err := json.Marshal(c)
		if err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprint(b, ",")
		}
		fmt.Fprintf(b, "\n  %s", line)
	}
	fmt.Fprint(b, "\n]\n")
	return b.Flush()
}

// writeCapacityCSV writes the fields of the lines, null as an empty one.
func writeCapacityCSV(w io.Writer, lines []record.Capacity, _ Options) error {
	c := csv.NewWriter(w)
	fields := reflect.TypeFor[record.Capacity]()
	var row []string
	for f := range fields.NumField() {
		row = append(row, fields.Field(f).Tag.Get("json"))
	}
	if err := c.Write(row); err != nil {
		return err
	}
	for _, line := range lines {
		v := reflect.ValueOf(line)
		for f := range row {
			x := v.Field(f)
			if x.Kind() != reflect.Pointer {
				row[f] = fmt.Sprint(x)
			} else if row[f] = ""; !x.IsNil() {
				row[f] = number(x.Elem())
			}
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// number is a number in full.
func number(x reflect.Value) string {
	if x.Kind() == reflect.Float64 {
		return strconv.FormatFloat(x.Float(), 'f', -1, 64)
	}
	return strconv.FormatInt(x.Int(), 10)
}

// capacityTable is a plan as text: a row a pipeline, a column a length.
type capacityTable struct {
	heading string
	header  []string
	lengths []int
	rows    [][]string
	notes   notes
	below   []string // lines under it
}

// newCapacityTable lays lines out.
func newCapacityTable(lines []record.Capacity) *capacityTable {
	first := lines[0]
	t := &capacityTable{heading: capacityHeading(first), header: []string{"pipeline"}}
	var pipelines []string
	var lengths []int
	at := map[string]map[int]record.Capacity{}
	for _, c := range lines {
		if at[c.Pipeline] == nil {
			at[c.Pipeline] = map[int]record.Capacity{}
			pipelines = append(pipelines, c.Pipeline)
		}
		if !slices.Contains(lengths, c.SeqLen) {
			lengths = append(lengths, c.SeqLen)
		}
		at[c.Pipeline][c.SeqLen] = c
	}
	longest := slices.Max(lengths)
	t.lengths = lengths
	fits := first.MemoryBytes != nil
	for _, n := range lengths {
		t.header = append(t.header, lengthText(n))
	}
	t.header = append(t.header, "of full", "a token", "constant")
	if fits {
		t.header = append(t.header, "longest", "at "+lengthText(longest))
	}
	for _, name := range pipelines {
		of := at[name]
		last := of[longest]
		row := []string{oneLine(name) + t.notes.markers(name, notesOf(of, lengths))}
		for _, n := range lengths {
			row = append(row, intText(of[n].BatchBytes, byteText))
		}
		share := "-"
		if last.CacheBytes != nil && last.FullBytes != nil && *last.FullBytes > 0 {
			share = percentText(float64(*last.CacheBytes) / float64(*last.FullBytes))
		}
		growing := "-"
		if last.GrowingBytesPerToken != nil {
			growing = plainBytes(*last.GrowingBytesPerToken)
		}
		row = append(row, share, growing, intText(last.ConstantBytes, byteText))
		if fits {
			row = append(row, intText(last.MaxContext, tokenText), intText(last.MaxBatch, func(n float64) string { return strconv.Itoa(int(n)) }))
		}
		t.rows = append(t.rows, row)
	}
	t.below = capacityGlossary(first, longest)
	return t
}

// notesOf are the footnotes of a pipeline: why figures are missing, and what they rest on, once for all lengths.
func notesOf(of map[int]record.Capacity, lengths []int) (texts []string) {
	for _, n := range lengths {
		for _, text := range []string{of[n].Reason, of[n].Note} {
			if text != "" && !slices.Contains(texts, oneLine(text)) {
				texts = append(texts, oneLine(text))
			}
		}
	}
	return texts
}

// capacityHeading says of what the plan is.
func capacityHeading(c record.Capacity) string { return oneLine(c.Model) + ", " + capacityTerms(c) }

// capacityTerms are the engine, the type and what the plan was asked for.
func capacityTerms(c record.Capacity) string {
	text := c.Engine
	if c.EngineVersion != "" {
		text += " " + c.EngineVersion
	}
	text += ", " + c.DType
	if c.Batch > 1 {
		text += fmt.Sprintf(", %d sequences", c.Batch)
	}
	if c.Ranks > 1 {
		text += fmt.Sprintf(", each of %d ranks", c.Ranks)
	}
	if c.MemoryBytes != nil {
		text += fmt.Sprintf(", %s beside weights of %s", byteText(float64(*c.MemoryBytes)), byteText(float64(*c.WeightBytes)))
	}
	return oneLine(text)
}

// capacityGlossary explains the columns.
func capacityGlossary(c record.Capacity, longest int) []string {
	lines := []string{
		"bytes of the cache after a prompt of so many tokens; of full: of the longest, over the engine's full cache",
		"a token: bytes that each further token of a long prompt adds; constant: what of a long prompt's does not grow",
	}
	if c.MemoryBytes != nil {
		lines = append(lines, fmt.Sprintf("longest: tokens of a prompt that fits beside the weights, one more not; at %s: most sequences of that length", lengthText(longest)))
	}
	return append(lines, "figures follow "+oneLine(c.Source), "-: not modelled, as the note says, or without a bound")
}

// intText writes a figure, a dash where there is none.
func intText(n *int64, text func(float64) string) string {
	if n == nil {
		return "-"
	}
	return text(float64(*n))
}

// plainBytes writes bytes in full, with separators: 131,072.
func plainBytes(n float64) string {
	return grouped(strconv.FormatFloat(n, 'f', -1, 64))
}

// tokenText writes a number of tokens in full.
func tokenText(n float64) string { return grouped(strconv.FormatInt(int64(n), 10)) }

// grouped separates thousands of a decimal number.
func grouped(n string) string {
	whole, rest, dot := strings.Cut(n, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if dot {
		whole += "." + rest
	}
	return whole
}

// writeCapacityTable prints the table for people.
func writeCapacityTable(w io.Writer, lines []record.Capacity, o Options) error {
	b := bufio.NewWriter(w)
	t, text, err := fitCapacities(lines, o.Width)
	if err != nil {
		return err
	}
	fmt.Fprintln(b, emphasis(t.heading, o.Color))
	for _, line := range text {
		fmt.Fprintln(b, line)
	}
	fmt.Fprintln(b)
	for i, note := range t.notes.causes {
		fmt.Fprintf(b, "[%d] %s\n", i+1, note.text())
	}
	for _, line := range t.below {
		fmt.Fprintln(b, line)
	}
	return b.Flush()
}

// fitCapacities lays lines out in a terminal of so many columns, 0 for any: the shortest lengths are left out where all do
// not fit, but never the longest.
func fitCapacities(lines []record.Capacity, width int) (*capacityTable, []string, error) {
	left, names := map[int]bool{}, []string(nil)
	for {
		t := newCapacityTable(slices.DeleteFunc(slices.Clone(lines), func(c record.Capacity) bool { return left[c.SeqLen] }))
		text, err := tableLines(tw.AlignLeft, t.header, t.rows)
		if err != nil || width == 0 || len(t.lengths) == 1 || utf8.RuneCountInString(text[0]) <= width {
			if len(names) > 0 {
				t.below = append(t.below, fmt.Sprintf("left out to fit %d columns: %s (a pipe and --format csv have them)", width, strings.Join(names, ", ")))
			}
			return t, text, err
		}
		shortest := slices.Min(t.lengths)
		left[shortest], names = true, append(names, lengthText(shortest))
	}
}

// writeCapacityMarkdown prints the same as Markdown.
func writeCapacityMarkdown(w io.Writer, lines []record.Capacity, _ Options) error {
	b := bufio.NewWriter(w)
	t := newCapacityTable(lines)
	fmt.Fprintf(b, "## %s\n\n", escapeMarkdown(t.heading))
	for i, row := range append([][]string{t.header}, t.rows...) {
		for _, cell := range row {
			fmt.Fprintf(b, "| %s ", escapeMarkdown(cell))
		}
		fmt.Fprintln(b, "|")
		if i == 0 {
			fmt.Fprintf(b, "| :--- |%s\n", strings.Repeat(" ---: |", len(t.header)-1))
		}
	}
	fmt.Fprintln(b)
	for i, note := range t.notes.causes {
		fmt.Fprintf(b, "- \\[%d\\] %s\n", i+1, escapeMarkdown(note.text()))
	}
	for _, line := range t.below {
		fmt.Fprintf(b, "- %s\n", escapeMarkdown(line))
	}
	return b.Flush()
}
