package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter/tw"

	"kvgauge/sim/record"
)

const (
	bestMark = "*"
	bold     = "\x1b[1m"
	plainOn  = "\x1b[0m"
)

// writeTable prints one table a section with its verdict, and the notes once at the end.
func writeTable(w io.Writer, records []record.Record, o Options) error {
	b := bufio.NewWriter(w)
	n := &notes{}
	var layouts []layout
	for _, s := range sections(records) {
		layouts = append(layouts, layOut(s, n))
	}
	layouts, dropped := fit(layouts, o.Width)
	for _, l := range layouts {
		fmt.Fprintln(b, emphasis(l.heading, o.Color))
		if err := l.render(b, o.Color); err != nil {
			return err
		}
		if l.verdict != "" {
			fmt.Fprintln(b, l.verdict)
		}
		fmt.Fprintln(b)
	}
	for i, text := range n.texts {
		fmt.Fprintf(b, "[%d] %s\n", i+1, text)
	}
	if len(n.texts) > 0 {
		fmt.Fprintln(b)
	}
	for _, text := range glossary(layouts) {
		fmt.Fprintln(b, text)
	}
	fmt.Fprintf(b, "%s: best of its column, the full cache and bounds apart; -: not measured\n", bestMark)
	if len(dropped) > 0 {
		fmt.Fprintf(b, "left out to fit %d columns: %s (a pipe and --format csv have them)\n", o.Width, strings.Join(dropped, ", "))
	}
	for _, text := range general(records) {
		fmt.Fprintln(b, text)
	}
	return b.Flush()
}

// fit leaves out columns, the least important first and the same ones everywhere, until no table is
// wider than width; it returns the names of those. 0 is no limit.
func fit(layouts []layout, width int) ([]layout, []string) {
	var dropped []string
	for width > 0 {
		wide, last := false, column{}
		for _, l := range layouts {
			wide = wide || l.width() > width
			for _, c := range l.columns {
				if c.rank > last.rank {
					last = c
				}
			}
		}
		if !wide || last.rank == 0 {
			break
		}
		for i, l := range layouts {
			layouts[i] = l.without(last.name)
		}
		dropped = append(dropped, last.name)
	}
	return layouts, dropped
}

// width is the number of terminal columns that the table takes.
func (l layout) width() int {
	total := 0
	for _, w := range l.widths() {
		total += w + len(gap)
	}
	return total - len(gap)
}

// widths are those of the pipelines' names and of each column, marks included.
func (l layout) widths() []int {
	widths := []int{len("pipeline")}
	for _, name := range l.names {
		widths[0] = max(widths[0], utf8.RuneCountInString(name))
	}
	for j, c := range l.columns {
		w := utf8.RuneCountInString(c.name)
		for _, row := range l.rows {
			w = max(w, utf8.RuneCountInString(row[j].text))
		}
		widths = append(widths, w+len(bestMark))
	}
	return widths
}

// render prints the table. Figures are right-aligned and all end one place before their column does:
// that place is the mark's.
func (l layout) render(w io.Writer, color bool) error {
	header := []string{"pipeline"}
	for _, c := range l.columns {
		header = append(header, c.name+" ")
	}
	var rows [][]string
	for i, name := range l.names {
		row := []string{name}
		for _, c := range l.rows[i] {
			if c.best {
				row = append(row, emphasis(c.text+bestMark, color))
			} else {
				row = append(row, c.text+" ")
			}
		}
		rows = append(rows, row)
	}
	lines, err := tableLines(tw.AlignLeft, header, rows)
	if err != nil {
		return err
	}
	for _, line := range lines {
		if strings.HasPrefix(line, rule) {
			line = strings.Repeat(rule, l.width())
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// emphasis makes text bold where the terminal can.
func emphasis(text string, color bool) string {
	if !color {
		return text
	}
	return bold + text + plainOn
}
