package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"kvgauge/report"
	"kvgauge/sim"
	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
)

// runRun measures what the flags ask for; m is the manifest as far as the flags decide it.
func runRun(ctx context.Context, s *system, f *runFlags, m record.Manifest) error {
	resident := sim.Resident()
	o, in, err := f.options()
	if err != nil {
		return err
	}
	defer in.close()
	plan, err := sim.NewPlan(o)
	if err != nil {
		return err
	}
	if f.dryRun && o.AtBytes == nil {
		return printPlan(ctx, s, plan, in, resident, !f.plots.none)
	}
	if err := record.CheckFolder(f.out, m, f.over()); err != nil && !f.dryRun {
		return record.InOption("out", err)
	}
	s.leaves("nothing was written")
	loaded, err := sim.Load(ctx, plan, in.traces)
	if err != nil {
		return err
	}
	sweep, err := loaded.Size(ctx)
	if err != nil {
		return err
	}
	if f.dryRun {
		return printPlan(ctx, s, *sweep.Plan(), in, resident, !f.plots.none)
	}
	var testbed *sim.Testbed
	if !f.noLatency {
		testbed = sim.MeasureMachine(m.Machine, o.Threads)
	}
	if err := sweep.Describe(&m, testbed); err != nil {
		return err
	}
	folder, records, err := openFolder(f, m, sweep)
	if err != nil {
		return record.InPath("out", err)
	}
	defer folder.Close()
	s.sayIgnored(in)

	cells := sweep.Plan().Cells
	kept := func() {
		s.leaves("%d of %s kept in %s; --resume goes on", len(records), record.Count(len(cells), "cell is", "cells are"), f.out)
	}
	kept()
	bar := newProgress(s, f.progress, cells, len(records))
	err = sweep.Run(ctx, testbed, func(r record.Record) error {
		if err := folder.Append(r); err != nil {
			return err
		}
		records = append(records, r)
		kept()
		bar.done(r)
		return nil
	})
	bar.close()
	if err != nil {
		return err
	}
	return finish(s, folder, f.out, records, f.plots, s.reportOptions(f.format, f.view))
}

// over is what the run may do with one that its folder holds.
func (f *runFlags) over() record.Over {
	if f.resume {
		return record.Resume
	}
	return overOf(f.force)
}

// openFolder opens the folder of a new run, or of one that goes on, and returns the records in it.
func openFolder(f *runFlags, m record.Manifest, s *sim.Sweep) (*record.Folder, []record.Record, error) {
	if !f.resume {
		folder, err := record.NewFolder(f.out, m, f.over())
		return folder, nil, err
	}
	folder, err := record.ResumeFolder(f.out, m)
	if err != nil {
		return nil, nil, err
	}
	records, err := record.Load(f.out)
	if errors.Is(err, record.ErrEmpty) {
		err = nil
	}
	if err == nil {
		if err = s.Resume(records); err != nil {
			err = fmt.Errorf("%s: %s: %w", f.out, record.RecordsFile, err)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, folder.Close())
	}
	return folder, records, nil
}

// finish writes the reports of a run whose records are all there, marks it as finished and prints it.
func finish(s *system, folder *record.Folder, dir string, records []record.Record, plots plotFlags, o report.Options) error {
	pictures, err := writeOutputs(folder, dir, records, plots)
	if err != nil {
		return fmt.Errorf(record.Opt+"out: %w", err)
	}
	if err := folder.Finish(s.now()); err != nil {
		return fmt.Errorf(record.Opt+"out: %w", err)
	}
	s.leaves("")
	fmt.Fprintf(s.err, "wrote %s: %s\n", dir, written(records, pictures))
	if err := report.Write(s.out, records, o); err != nil {
		return err
	}
	return failures(records)
}

// manifestOf is the manifest as far as the command line decides it.
func manifestOf(s *system, flags *pflag.FlagSet) record.Manifest {
	m := record.Manifest{
		Schema: record.Schema, Args: s.args, Version: version(), Machine: sim.ThisMachine(), Kernel: kernel.Name,
		Started: s.now(), Settings: map[string]string{},
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if decides(f, inManifest) {
			m.Settings[f.Name] = f.Value.String()
		}
	})
	return m
}

// written names the files of a finished run.
func written(records []record.Record, pictures []report.Picture) string {
	files := []string{fmt.Sprintf("%s (%s)", record.RecordsFile, record.Count(len(records), "record", "")), record.ManifestFile, "summary.md", "summary.csv"}
	for _, p := range pictures {
		if p.Skipped == "" {
			files = append(files, p.Name)
		}
	}
	return strings.Join(files, ", ")
}

// writeOutputs writes the summaries and the plots into dir, which is the folder's.
func writeOutputs(folder *record.Folder, dir string, records []record.Record, plots plotFlags) ([]report.Picture, error) {
	for name, format := range map[string]string{"summary.md": "markdown", "summary.csv": "csv"} {
		var b bytes.Buffer
		if err := report.Write(&b, records, report.Options{Format: format}); err != nil {
			return nil, err
		}
		if err := folder.WriteFile(name, b.Bytes()); err != nil {
			return nil, err
		}
	}
	if plots.none {
		return nil, nil
	}
	return report.WritePlots(dir, records, plots.format)
}

// failures is the error of a run some of whose cells failed.
func failures(records []record.Record) error {
	n, first := 0, record.Record{}
	for _, r := range records {
		if r.Status == record.Failed {
			if n == 0 {
				first = r
			}
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d of %s failed, the first %s: %s", n, record.Count(len(records), "cell", ""), first.Cell(), first.Reason)
}
