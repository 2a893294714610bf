package cmd

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"kvgauge/report"
	"kvgauge/sim/record"
)

// mergeFlags are the flags of merge.
type mergeFlags struct {
	out, format string
	plots       plotFlags
	force       bool
	view        report.View
}

func newMergeCmd(s *system) *cobra.Command {
	f := &mergeFlags{}
	c := &cobra.Command{
		Use:   "merge DIR... --out DIR",
		Short: "Join the records of shards: tables and plots of the whole plan",
		Long: `Merge joins the folders that run --shard i/n made, i from 0 to n-1, into the folder that one run would
have made. It refuses shards that are missing, twice or unfinished, and those whose version, traces or
flags differ.`,
		Example: "  kvgauge merge part0 part1 part2 part3 --out results",
		Args:    arguments(1, maxShards),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkView(c.Flags(), f.view); err != nil {
				return err
			}
			return runMerge(s, args, f)
		},
	}
	c.Flags().StringVar(&f.out, "out", "", "output `directory`")
	enumFlag(c, &f.format, "format", "table", report.Formats(), "what stdout shows: ")
	f.plots.declare(c)
	c.Flags().BoolVar(&f.force, "force", false, "drop the run that --out holds, whatever it was asked for")
	viewFlags(c, &f.view)
	return c
}

// runMerge joins the folders.
func runMerge(s *system, dirs []string, f *mergeFlags) error {
	if f.out == "" {
		return lacks("out", "want the folder to write")
	}
	var parts []record.Part
	for _, dir := range dirs {
		if sameFolder(dir, f.out) {
			return lacks("out", f.out+": one of the folders to merge, want another")
		}
		m, err := record.ReadManifest(dir)
		if err != nil {
			return err
		}
		records, err := record.Load(dir)
		if err != nil && !errors.Is(err, record.ErrEmpty) { // more shards than cells leave some empty
			return err
		}
		parts = append(parts, record.Part{Path: dir, Manifest: m, Records: records})
	}
	m, records, notes, err := record.Merge(parts)
	if err != nil {
		return err
	}
	folder, err := f.open(m)
	if err != nil {
		return record.InPath("out", err)
	}
	defer folder.Close()
	have, err := record.Load(f.out)
	if err != nil && !errors.Is(err, record.ErrEmpty) {
		return record.InOption("out", err)
	}
	for _, r := range records[min(len(have), len(records)):] {
		if err := folder.Append(r); err != nil {
			return err
		}
	}
	for _, note := range notes {
		fmt.Fprintln(s.err, note)
	}
	return finish(s, folder, f.out, records, f.plots, s.reportOptions(f.format, f.view))
}

// open opens the folder of the merge, or goes on with the same one that was cut short, whose records are the first of these.
func (f *mergeFlags) open(m record.Manifest) (*record.Folder, error) {
	if held, err := record.ReadManifest(f.out); err == nil && held.Finished == nil && !f.force {
		return record.ResumeFolder(f.out, m)
	}
	return record.NewFolder(f.out, m, overOf(f.force))
}

// overOf is what --force lets a command do with a run that its folder holds.
func overOf(force bool) record.Over {
	if force {
		return record.Force
	}
	return record.Same
}

// sameFolder reports whether both paths lead to one folder.
func sameFolder(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}
