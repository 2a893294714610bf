package cmd

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kvgauge/report"
	"kvgauge/sim/record"
)

// sayUnfinished says on stderr that a folder's run is not finished, or nothing.
func (s *system) sayUnfinished(path string, records int) {
	if m, err := record.ReadManifest(path); err == nil && m.Finished == nil {
		fmt.Fprintf(s.err, "%s: the run in it is not finished: it has %d of %s\n", path, records, record.Count(m.Cells, "cell", ""))
	}
}

func newReportCmd(s *system) *cobra.Command {
	var format, plots, plotFormat string
	var view report.View
	c := &cobra.Command{
		Use:   "report DIR",
		Short: "Print tables and draw plots again from records, nothing re-measured",
		Example: `  kvgauge report kvgauge-out
  kvgauge report kvgauge-out --format markdown
  kvgauge report kvgauge-out/records.jsonl --plots pictures`,
		Args: arguments(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkView(c.Flags(), view); err != nil {
				return err
			}
			if plots == "" && c.Flags().Changed("plot-format") {
				return wrong("plot-format", plotFormat, "want --plots too, the directory to draw into")
			}
			records, err := record.Load(args[0])
			if err != nil {
				return err
			}
			s.sayUnfinished(args[0], len(records))
			if plots != "" {
				if err := os.MkdirAll(plots, 0o777); err != nil {
					return record.InPath("plots", err)
				}
				pictures, err := report.WritePlots(plots, records, plotFormat)
				if err != nil {
					return record.InPath("plots", err)
				}
				for _, p := range pictures {
					if p.Skipped != "" {
						fmt.Fprintf(s.err, "%s: not drawn: %s\n", p.Name, p.Skipped)
					}
				}
			}
			return report.Write(s.out, records, s.reportOptions(format, view))
		},
	}
	enumFlag(c, &format, "format", "table", report.Formats(), "")
	viewFlags(c, &view)
	c.Flags().StringVar(&plots, "plots", "", "draw the plots into this `directory`")
	plotFormatFlag(c, &plotFormat)
	return c
}

// viewFlags declares the flags that say what of the records a table shows.
func viewFlags(c *cobra.Command, v *report.View) {
	c.Flags().StringVar(&v.Sort, "sort", "", "order of the table's rows: a `column`, best first (default the front of bytes and error, then by error)")
	c.Flags().IntVar(&v.Top, "top", 0, "`rows` of a table, at most (default 11)")
	c.Flags().BoolVar(&v.AllRows, "all-rows", false, "all rows of a table, with footnotes")
	c.Flags().BoolVar(&v.AllLengths, "all-lengths", false, "tables of all lengths, not of each trace's longest alone")
	c.MarkFlagsMutuallyExclusive("top", "all-rows")
	_ = c.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(report.SortColumns(), cobra.ShellCompDirectiveNoFileComp))
}

// checkView refuses a view of no column, or of less than a row.
func checkView(flags *pflag.FlagSet, v report.View) error {
	switch {
	case v.Sort != "" && !slices.Contains(report.SortColumns(), v.Sort):
		return wrong("sort", v.Sort, "want one of %s%s", strings.Join(report.SortColumns(), ", "), record.DidYouMean(v.Sort, report.SortColumns()))
	case flags.Changed("top") && v.Top < 1:
		return wrong("top", v.Top, "want 1 or more rows")
	}
	return nil
}
