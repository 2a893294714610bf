package report

import (
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"
)

const (
	gap  = "  " // between the columns of a table
	rule = "─"  // under its header
)

// tableLines lays out rows under a header and a rule, the first column aligned as asked for and the others, figures,
// to the right, and returns the lines without blanks at their ends: the library pads the last column too, which would
// wrap lines of a table that just fits.
func tableLines(first tw.Align, header []string, rows [][]string) ([]string, error) {
	align := tw.CellAlignment{PerColumn: slices.Repeat([]tw.Align{tw.AlignRight}, len(header))}
	align.PerColumn[0] = first
	var b strings.Builder
	table := tablewriter.NewTable(&b,
		tablewriter.WithRendition(tw.Rendition{Borders: tw.BorderNone, Settings: tw.Settings{
			Lines:      tw.Lines{ShowTop: tw.Off, ShowBottom: tw.Off, ShowHeaderLine: tw.On, ShowFooterLine: tw.Off},
			Separators: tw.SeparatorsNone,
		}}),
		tablewriter.WithPadding(tw.Padding{Left: "", Right: gap, Overwrite: true}),
		tablewriter.WithHeaderAlignmentConfig(align),
		tablewriter.WithRowAlignmentConfig(align),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithEastAsian(tw.Off),
	)
	table.Header(header)
	if err := table.Bulk(rows); err != nil {
		return nil, err
	}
	if err := table.Render(); err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(b.String()) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return lines, nil
}
