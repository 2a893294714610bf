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
	a := &t.Attention[0]
	fmt.Fprintf(w, "%s: model %s, %d tokens (queries of the last %d), %d query heads, %d KV heads, head_dim %d\n",
		t.Name, t.Model, t.Tokens, t.Queries, a.QHeads, a.KVHeads, a.QKDim)
	fmt.Fprintf(w, "layers %s of %d, scale %.4g, %s\n", record.LayerList(t.Layers), t.NumLayers, a.Scale, ropeText(a.Rope))
	if t.Source != "" {
		fmt.Fprintf(w, "source: %s\n", t.Source)
	}
	fmt.Fprintf(w, "measured: %d tokens, %d queries; K and V rows are %d wide\n", s.Tokens, s.Queries, s.KVDims)
	for _, table := range statTables(s) {
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

// ropeText describes a rotary embedding.
func ropeText(r trace.Rope) string {
	switch {
	case len(r.InvFreq) == 0:
		return "no rotary embedding"
	case r.Theta == 0:
		return fmt.Sprintf("rotary embedding %s over %d dimensions, frequencies listed", r.Style, r.Dims)
	}
	return fmt.Sprintf("rotary embedding %s over %d dimensions, theta %.6g", r.Style, r.Dims, r.Theta)
}
