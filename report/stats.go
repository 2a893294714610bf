package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/olekukonko/tablewriter/tw"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
	"kvgauge/sim/trace/stats"
)

// WriteStats prints the shape and statistics of a trace, as tables or as JSON.
func WriteStats(w io.Writer, t *trace.Trace, s *stats.Stats, o Options) error {
	if o.Format == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	}
	for _, line := range shapeLines(&t.Header) {
		fmt.Fprintln(w, line)
	}
	if t.Source != "" {
		fmt.Fprintf(w, "source: %s\n", t.Source)
	}
	fmt.Fprintf(w, "measured: %s, %s; K and V rows are %s\n", record.Count(s.Tokens, "token", ""), record.Count(s.Queries, "query", ""), rowWidth(&t.Header, s.KVDims))
	for _, table := range statTables(&t.Header, s) {
		if err := table.write(w, s); err != nil {
			return err
		}
	}
	return nil
}

// write prints the table with a row for each layer and one for their mean, and the notes below it.
func (st statTable) write(w io.Writer, s *stats.Stats) error {
	header := []string{"layer"}
	for _, c := range st.columns {
		header = append(header, c.name)
	}
	var rows [][]string
	for _, l := range s.Layers {
		rows = append(rows, st.cells(strconv.Itoa(l.Layer), l.Figures))
	}
	lines, err := tableLines(tw.AlignRight, header, append(rows, st.cells("mean", s.Mean)))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s\n%s\n", st.title, strings.Join(append(lines, st.notes...), "\n"))
	return err
}

// cells are the strings of one row.
func (st statTable) cells(name string, f stats.Figures) []string {
	cells := []string{name}
	for _, c := range st.columns {
		if v := c.value(f); v != nil {
			cells = append(cells, strconv.FormatFloat(*v, 'f', c.digit, 64))
		} else {
			cells = append(cells, "-")
		}
	}
	return cells
}
