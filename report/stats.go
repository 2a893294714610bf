package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"

	"kvgauge/sim/trace"
)

// statColumn is one figure of a trace's statistics.
type statColumn struct {
	name  string
	value func(trace.Figures) *float64
	digit int // places after the point
	about string
}

// statColumns are the figures in the order of the table; trace.Figures defines them.
var statColumns = []statColumn{
	{"sink", func(f trace.Figures) *float64 { return f.SinkMass }, 2, "mass on token 0"},
	{"sink4", func(f trace.Figures) *float64 { return f.Sink4Mass }, 2, "mass on tokens 0 to 3"},
	{"entropy", func(f trace.Figures) *float64 { return f.EntropyBits }, 1, "of the attention, bits"},
	{"heavy", func(f trace.Figures) *float64 { return f.HeavyMass }, 2, "mass on a query's 32 heaviest keys"},
	{"local", func(f trace.Figures) *float64 { return f.LocalMass }, 2, "mass on the last 64 keys"},
	{"q cos", func(f trace.Figures) *float64 { return f.QueryCosine }, 2, "cosine of adjacent queries"},
	{"K dims", func(f trace.Figures) *float64 { return &f.KeyDims }, 0, "directions with 90 % of the keys' energy"},
	{"V dims", func(f trace.Figures) *float64 { return &f.ValueDims }, 0, "the same of the values"},
	{"k drift", func(f trace.Figures) *float64 { return f.KeyCosine64 }, 2, "cosine of keys 64 tokens apart, unrotated, mean removed"},
	{"v drift", func(f trace.Figures) *float64 { return f.ValueCosine64 }, 2, "the same of values"},
	{"attn sim", func(f trace.Figures) *float64 { return f.AttentionSimilarity }, 2, "cosine of attention with the layer before"},
	{"v sim", func(f trace.Figures) *float64 { return f.ValueSimilarity }, 2, "CKA of values with the layer before"},
	{"needles", func(f trace.Figures) *float64 { n := float64(f.Needles); return &n }, 0, "planted keys asked for once, after a silence"},
	{"needle p", func(f trace.Figures) *float64 { return f.NeedleMass }, 2, "mass that the asking query puts on its needle"},
}

// WriteStats prints the shape and statistics of a trace, as a table or as JSON.
func WriteStats(w io.Writer, t *trace.Trace, s *trace.Stats, o Options) error {
	if o.Format == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	}
	fmt.Fprintf(w, "%s: model %s, %d tokens (queries of the last %d), %d query heads, %d KV heads, head_dim %d\n",
		t.Name, t.Model, t.Tokens, t.Queries, t.QHeads, t.KVHeads, t.HeadDim)
	fmt.Fprintf(w, "layers %s of %d, scale %.4g, %s\n", layerList(t.Layers), t.NumLayers, t.Scale, ropeText(t.Rope))
	if t.Source != "" {
		fmt.Fprintf(w, "source: %s\n", t.Source)
	}
	fmt.Fprintf(w, "measured: %d tokens, %d queries; K and V rows are %d wide\n\n", s.Tokens, s.Queries, s.KVDims)
	header, align := []string{"layer"}, []tw.Align{tw.AlignRight}
	for _, c := range statColumns {
		header, align = append(header, c.name), append(align, tw.AlignRight)
	}
	table := tablewriter.NewTable(w,
		tablewriter.WithRendition(tw.Rendition{Borders: tw.BorderNone, Settings: tw.Settings{
			Lines:      tw.Lines{ShowTop: tw.Off, ShowBottom: tw.Off, ShowHeaderLine: tw.On, ShowFooterLine: tw.Off},
			Separators: tw.SeparatorsNone,
		}}),
		tablewriter.WithPadding(tw.Padding{Left: "", Right: "  ", Overwrite: true}),
		tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		tablewriter.WithRowAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithEastAsian(tw.Off),
	)
	table.Header(header)
	for _, l := range s.Layers {
		if err := table.Append(statCells(strconv.Itoa(l.Layer), l.Figures)); err != nil {
			return err
		}
	}
	if err := table.Append(statCells("mean", s.Mean)); err != nil {
		return err
	}
	if err := table.Render(); err != nil {
		return err
	}
	var notes []string
	for _, c := range statColumns {
		notes = append(notes, c.name+": "+c.about)
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.Join(notes, "\n"))
	return err
}

// statCells are the strings of one row.
func statCells(name string, f trace.Figures) []string {
	cells := []string{name}
	for _, c := range statColumns {
		if v := c.value(f); v != nil {
			cells = append(cells, strconv.FormatFloat(*v, 'f', c.digit, 64))
		} else {
			cells = append(cells, "-")
		}
	}
	return cells
}

// layerList writes layer numbers as ranges: 0..3,8.
func layerList(layers []int) string {
	var parts []string
	for i := 0; i < len(layers); {
		j := i
		for j+1 < len(layers) && layers[j+1] == layers[j]+1 {
			j++
		}
		part := strconv.Itoa(layers[i])
		if j > i {
			part += ".." + strconv.Itoa(layers[j])
		}
		parts, i = append(parts, part), j+1
	}
	return strings.Join(parts, ",")
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
