package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter/tw"

	"kvgauge/sim/record"
)

const (
	bestMark   = "*"
	frontMark  = ">"
	aboutFront = "no other has less of cache and error"
	bold       = "\x1b[1m"
	plainOn    = "\x1b[0m"
)

// writeTable prints a table a section with its verdict. Where all rows are shown the footnotes and the columns' meanings
// follow once at the end; a view that leaves some out says where they are.
func writeTable(w io.Writer, records []record.Record, o Options) error {
	b := bufio.NewWriter(w)
	n := &notes{}
	all := sections(records)
	shown := o.View.sections(all)
	whole := !slices.ContainsFunc(shown, func(s section) bool { return o.View.rows(len(s.records)) < len(s.records) })
	if !whole {
		n = nil
	}
	var layouts []layout
	for _, s := range shown {
		layouts = append(layouts, layOut(s, o.View, n))
	}
	layouts, dropped := fit(layouts, o.Width)
	for _, l := range layouts {
		fmt.Fprintln(b, emphasis(l.heading, o.Color))
		for _, line := range l.verdict {
			fmt.Fprintln(b, line)
		}
		if err := l.render(b, o.Width, o.Color); err != nil {
			return err
		}
		if l.hidden > 0 {
			fmt.Fprintf(b, "%d more: --all-rows\n", l.hidden)
		}
		fmt.Fprintln(b)
	}
	for _, line := range o.View.unmeasured(all, shown) {
		fmt.Fprintln(b, line)
	}
	if slices.ContainsFunc(shown, o.View.unsorted) {
		fmt.Fprintf(b, "rows are not ordered by %s where it was not measured\n", o.View.Sort)
	}
	if !whole {
		fmt.Fprintf(b, "%s: %s; %s: best of its column; -: not measured; columns and footnotes: --all-rows, or summary.md\n", frontMark, aboutFront, bestMark)
		fmt.Fprintln(b, noteLocal)
		return b.Flush()
	}
	for i, c := range n.causes {
		fmt.Fprintf(b, "[%d] %s\n", i+1, c.text())
	}
	if len(n.causes) > 0 {
		fmt.Fprintln(b)
	}
	for _, text := range glossary(layouts) {
		fmt.Fprintln(b, text)
	}
	fmt.Fprintf(b, "%s: %s; %s: best of its column, the full cache and bounds apart; -: not measured\n", frontMark, aboutFront, bestMark)
	if len(dropped) > 0 {
		fmt.Fprintf(b, "left out to fit %d columns: %s (a pipe and --format csv have them)\n", o.Width, strings.Join(dropped, ", "))
	}
	if len(all) > len(shown) {
		fmt.Fprintf(b, "other lengths: --all-lengths, or summary.md\n")
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
		widths[0] = max(widths[0], len(frontMark+" ")+utf8.RuneCountInString(name))
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
// that place is the mark's. Names that would make lines longer than width, where there is one, are cut in the middle.
func (l layout) render(w io.Writer, width int, color bool) error {
	if over := l.width() - width; width > 0 && over > 0 {
		longest := max(leastName, l.widths()[0]-len(frontMark+" ")-over)
		l.names = slices.Clone(l.names)
		for i, name := range l.names {
			l.names[i] = cut(name, longest)
		}
	}
	header := []string{"pipeline"}
	for _, c := range l.columns {
		header = append(header, c.name+" ")
	}
	var rows [][]string
	for i, name := range l.names {
		mark := strings.Repeat(" ", len(frontMark))
		if l.front[i] {
			mark = frontMark
		}
		row := []string{mark + " " + name}
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

// leastName is the shortest that names are cut to.
const leastName = 16

// cut shortens a name to so many characters: its middle goes, since it ends with what tells it from others.
func cut(name string, most int) string {
	r := []rune(name)
	if len(r) <= most {
		return name
	}
	head := (most - 1) / 2
	return string(r[:head]) + "…" + string(r[len(r)-(most-1-head):])
}

// emphasis makes text bold where the terminal can.
func emphasis(text string, color bool) string {
	if !color {
		return text
	}
	return bold + text + plainOn
}
