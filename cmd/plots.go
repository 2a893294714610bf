package cmd

import (
	"github.com/spf13/cobra"

	"kvgauge/report"
)

// plotFlags say whether plots are drawn, and in what format.
type plotFlags struct {
	none   bool
	format string
}

// declare declares the flags of a command that draws plots unless it is told not to.
func (p *plotFlags) declare(c *cobra.Command) {
	c.Flags().BoolVar(&p.none, "no-plots", false, "skip the plots")
	plotFormatFlag(c, &p.format)
	c.MarkFlagsMutuallyExclusive("no-plots", "plot-format")
}

// checkPlot is outputFile for the file of --plot, whose name's end says what is drawn: known before anything is measured.
func checkPlot(path *string, inputs ...string) error {
	if *path == "" {
		return nil
	}
	if err := outputFile("plot", path, inputs...); err != nil {
		return err
	}
	if _, err := report.PlotFormatOf(*path); err != nil {
		return wrong("plot", *path, "%w", err)
	}
	return nil
}

// plotFormatFlag declares the flag of the format alone.
func plotFormatFlag(c *cobra.Command, format *string) {
	enumFlag(c, format, "plot-format", report.PlotFormats()[0], report.PlotFormats(), "what plots are drawn as: ")
}
