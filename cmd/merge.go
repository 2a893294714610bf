package cmd

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kvgauge/report"
	"kvgauge/sim"
)

// mergeFlags are the flags of merge.
type mergeFlags struct {
	out, format string
	noPlots     bool
}

func newMergeCmd(s *streams) *cobra.Command {
	f := &mergeFlags{}
	c := &cobra.Command{
		Use:   "merge DIR... --out DIR",
		Short: "Join the records of shards: tables and plots of the whole plan",
		Long: `Merge joins the folders that run --shard i/n made, i from 0 to n-1, into the folder that one run would
have made. It refuses shards that are missing, twice or unfinished, and those whose version, traces or
flags differ.`,
		Example: "  kvgauge merge part0 part1 part2 part3 --out results",
		Args:    arguments(1, maxShards),
		RunE:    func(_ *cobra.Command, args []string) error { return runMerge(s, args, f) },
	}
	c.Flags().StringVar(&f.out, "out", "", "output `directory`")
	c.Flags().StringVar(&f.format, "format", "table", "what stdout shows: "+strings.Join(report.Formats(), "|"))
	c.Flags().BoolVar(&f.noPlots, "no-plots", false, "skip the plots")
	completeValues(c, "format", report.Formats()...)
	return c
}

// runMerge joins the folders.
func runMerge(s *streams, dirs []string, f *mergeFlags) error {
	switch {
	case f.out == "":
		return errors.New("--out: want the folder to write")
	case !slices.Contains(report.Formats(), f.format):
		return fmt.Errorf("--format %q: want one of %s", f.format, strings.Join(report.Formats(), ", "))
	}
	var parts []sim.Part
	for _, dir := range dirs {
		if sameFolder(dir, f.out) {
			return fmt.Errorf("--out: %s: one of the folders to merge, want another", f.out)
		}
		m, err := sim.ReadManifest(dir)
		if err != nil {
			return err
		}
		records, err := report.Load(dir)
		if err != nil && !errors.Is(err, report.ErrEmpty) { // more shards than cells leave some empty
			return err
		}
		parts = append(parts, sim.Part{Path: dir, Manifest: m, Records: records})
	}
	m, records, notes, err := sim.Merge(parts)
	if err != nil {
		return err
	}
	open := sim.NewFolder
	if sim.CheckFolder(f.out, false) != nil {
		open = sim.ResumeFolder // the same merge, cut short: its records are the first of these
	}
	folder, err := open(f.out, m)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	defer folder.Close()
	have, err := report.Load(f.out)
	if err != nil && !errors.Is(err, report.ErrEmpty) {
		return fmt.Errorf("--out: %w", err)
	}
	for _, r := range records[min(len(have), len(records)):] {
		if err := folder.Append(r); err != nil {
			return gateError{err}
		}
	}
	for _, note := range notes {
		fmt.Fprintln(s.err, note)
	}
	return finish(s, folder, f.out, records, f.noPlots, f.format)
}

// sameFolder reports whether both paths lead to one folder.
func sameFolder(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}
