package cmd

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kvgauge/report"
	"kvgauge/sim/record"
)

// compareFlags are the flags of compare as given.
type compareFlags struct {
	bytes, errors, latency, format string
	allowMissing                   bool
}

func newCompareCmd(s *system) *cobra.Command {
	f := &compareFlags{}
	c := &cobra.Command{
		Use:   "compare OLD NEW",
		Short: "Fail where a run is worse than an older one: a gate for CI",
		Long: `Compare joins the records of two runs, given as folders or records.jsonl files, cell by cell, and exits
with 1 where the new one is worse by more than the limits: bytes, errors (and what is lost of the softmax
mass, the cosine and the needles), and the kept entries, exactly, where both runs have them. Cells that are
missing, new, newly skipped or newly failed fail too. Rows of different traces or models never meet; two runs
that measured nothing in common are no comparison but an error, whatever is allowed.

Latency is compared with --max-latency only, as the ratio to the full cache's step timed beside it. A change
counts where a Mann-Whitney test finds it (5 % for one false alarm in all cells together) and where it is
above 0.05 of the full cache's step. Repeat the runs for it, base and head by turns, as OLD/1, OLD/2, ... and
NEW/1, NEW/2, ... (7 each will do for 50 cells) with --threads 1: between two single runs, whose steps all lie
in the same few milliseconds, a change must also stand out from those of all other cells.`,
		Example: `  kvgauge compare base head
  kvgauge compare base head --max-error 5% --format markdown >> "$GITHUB_STEP_SUMMARY"
  kvgauge compare base head --max-latency 10% --format junit > kvgauge.xml`,
		Args: arguments(2, 2),
		RunE: func(_ *cobra.Command, args []string) error { return runCompare(s, args[0], args[1], f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.bytes, "max-bytes", "0%", "growth of bytes that passes, a `share`")
	fl.StringVar(&f.errors, "max-error", "1%", "growth of errors that passes, a `share`")
	fl.StringVar(&f.latency, "max-latency", "", "growth of the latency over full's that passes, a `share` (default: latency is not compared)")
	fl.BoolVar(&f.allowMissing, "allow-missing", false, "let cells be missing, new, newly skipped or newly failed")
	enumFlag(c, &f.format, "format", "table", report.ComparisonFormats(), "")
	return c
}

// runCompare compares two runs.
func runCompare(s *system, before, after string, f *compareFlags) error {
	l := report.Limits{AllowMissing: f.allowMissing}
	var err error
	if l.Bytes, err = parseGrowth("max-bytes", f.bytes); err != nil {
		return err
	}
	if l.Error, err = parseGrowth("max-error", f.errors); err != nil {
		return err
	}
	if f.latency != "" {
		limit, err := parseGrowth("max-latency", f.latency)
		if err != nil {
			return err
		}
		l.Latency = &limit
	}
	old, err := report.LoadSide(before)
	if err != nil {
		return err
	}
	now, err := report.LoadSide(after)
	if err != nil {
		return err
	}
	s.sayUnfinished(before, len(old.Records))
	s.sayUnfinished(after, len(now.Records))
	c, err := report.Compare(old, now, l)
	if err != nil {
		return err
	}
	if err := report.WriteComparison(s.out, c, f.format); err != nil {
		return err
	}
	if c.Regressions > 0 {
		return fmt.Errorf("%s is worse than %s: %s", after, before, record.Count(c.Regressions, "regression", ""))
	}
	return nil
}

// parseGrowth reads a share of 0 % or more.
func parseGrowth(flag, text string) (float64, error) {
	number, ok := strings.CutSuffix(text, "%")
	p, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(p >= 0) || math.IsInf(p, 0) {
		return 0, wrong(flag, text, "want a share of 0%% or more, such as 1%%")
	}
	return p / 100, nil
}
