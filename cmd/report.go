package cmd

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"kvgauge/report"
	"kvgauge/sim/record"
)

func newReportCmd(s *system) *cobra.Command {
	var format, plots string
	c := &cobra.Command{
		Use:   "report DIR",
		Short: "Print tables and draw plots again from records, nothing re-measured",
		Example: `  kvgauge report kvgauge-out
  kvgauge report kvgauge-out --format markdown
  kvgauge report kvgauge-out/records.jsonl --plots pictures`,
		Args: arguments(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			records, err := record.Load(args[0])
			if err != nil {
				return err
			}
			if plots != "" {
				if err := os.MkdirAll(plots, 0o777); err != nil {
					return record.InPath("plots", err)
				}
				pictures, err := report.WritePlots(plots, records)
				if err != nil {
					return record.InPath("plots", err)
				}
				for _, p := range pictures {
					if p.Skipped != "" {
						fmt.Fprintf(s.err, "%s: not drawn: %s\n", p.Name, p.Skipped)
					}
				}
			}
			return report.Write(s.out, records, s.reportOptions(format))
		},
	}
	enumFlag(c, &format, "format", "table", report.Formats(), "")
	c.Flags().StringVar(&plots, "plots", "", "draw the plots into this `directory`")
	return c
}
