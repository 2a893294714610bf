package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"kvgauge/sim/record"
)

// writeMarkdown prints the sections of the table as Markdown, all columns included, the best in bold.
func writeMarkdown(w io.Writer, records []record.Record, _ Options) error {
	b := bufio.NewWriter(w)
	n := &notes{}
	var layouts []layout
	for _, s := range sections(records) {
		l := layOut(s, View{AllRows: true}, n)
		layouts = append(layouts, l)
		fmt.Fprintf(b, "## %s\n\n", escapeMarkdown(l.heading))
		for _, line := range l.verdict {
			fmt.Fprintf(b, "%s\n\n", escapeMarkdown(line))
		}
		fmt.Fprint(b, "| pipeline |")
		for _, c := range l.columns {
			fmt.Fprintf(b, " %s |", escapeMarkdown(c.name))
		}
		fmt.Fprintf(b, "\n| :--- |%s\n", strings.Repeat(" ---: |", len(l.columns)))
		for i, name := range l.names {
			mark := ""
			if l.front[i] {
				mark = frontMark + " "
			}
			fmt.Fprintf(b, "| %s |", escapeMarkdown(mark+name))
			for _, c := range l.rows[i] {
				if c.best {
					fmt.Fprintf(b, " **%s** |", escapeMarkdown(c.text))
				} else {
					fmt.Fprintf(b, " %s |", escapeMarkdown(c.text))
				}
			}
			fmt.Fprintln(b)
		}
		fmt.Fprintln(b)
	}
	fmt.Fprint(b, "## Notes\n\n")
	for i, c := range n.causes {
		fmt.Fprintf(b, "- \\[%d\\] %s\n", i+1, escapeMarkdown(c.text()))
	}
	for _, text := range glossary(layouts) {
		fmt.Fprintf(b, "- %s\n", escapeMarkdown(text))
	}
	fmt.Fprintf(b, "- %s: %s; bold: best of its column, the full cache and bounds apart; -: not measured\n", escapeMarkdown(frontMark), aboutFront)
	for _, text := range general(records) {
		fmt.Fprintf(b, "- %s\n", escapeMarkdown(text))
	}
	return b.Flush()
}

// markdownEscapes are the characters that would end a cell or start markup in the names and reasons that
// records hold.
var markdownEscapes = strings.NewReplacer(
	`\`, `\\`, "|", `\|`, "*", `\*`, "_", `\_`, "`", "\\`", "<", "&lt;", ">", "&gt;", "&", "&amp;", "[", `\[`, "]", `\]`, "#", `\#`)

func escapeMarkdown(s string) string { return markdownEscapes.Replace(s) }
