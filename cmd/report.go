package cmd

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kvgauge/report"
)

func newReportCmd(s *streams) *cobra.Command {
	var format, plots string
	c := &cobra.Command{
		Use:   "report DIR",
		Short: "Print tables and draw plots again from records, nothing re-measured",
		Example: `  kvgauge report kvgauge-out
  kvgauge report kvgauge-out --format markdown
  kvgauge report kvgauge-out/records.jsonl --plots pictures`,
		Args: arguments(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if !slices.Contains(report.Formats(), format) {
				return fmt.Errorf("--format %q: want one of %s", format, strings.Join(report.Formats(), ", "))
			}
			records, err := report.Load(args[0])
			if err != nil {
				return err
			}
			if plots != "" {
				if err := os.MkdirAll(plots, 0o777); err != nil {
					return fmt.Errorf("--plots: %w", err)
				}
				pictures, err := report.WritePlots(plots, records)
				if err != nil {
					return fmt.Errorf("--plots: %w", err)
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
	c.Flags().StringVar(&format, "format", "table", strings.Join(report.Formats(), "|"))
	c.Flags().StringVar(&plots, "plots", "", "draw the plots into this `directory`")
	completeValues(c, "format", report.Formats()...)
	return c
}
