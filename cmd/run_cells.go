package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/charmbracelet/colorprofile"
	"github.com/spf13/pflag"

	"kvgauge/report"
	"kvgauge/sim"
	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// runRun measures what the flags ask for; m is the manifest as far as the flags decide it.
func runRun(ctx context.Context, s *streams, f *runFlags, m sim.Manifest) error {
	resident := sim.Resident()
	o, err := f.options()
	if err != nil {
		return err
	}
	defer closeAll(o.Traces)
	defer closeAll(slices.Collect(maps.Values(o.Calibrate)))
	defer closeExternals(o.Externals)
	plan, err := sim.NewPlan(o)
	if err != nil {
		return err
	}
	if f.dryRun && o.AtBytes == nil {
		return printPlan(ctx, s, plan, resident, !f.noPlots)
	}
	if err := sim.CheckFolder(f.out, f.resume); err != nil && !f.dryRun {
		return fmt.Errorf("--out: %w", err)
	}
	if err := prepare(ctx, plan); err != nil {
		return err
	}
	if f.dryRun {
		return printPlan(ctx, s, plan, resident, !f.noPlots)
	}
	if !f.noLatency {
		plan.MeasureMachine(m.Machine)
	}
	if err := describe(&m, plan); err != nil {
		return err
	}
	folder, records, err := openFolder(f, m, plan)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	defer folder.Close()

	bar := newProgress(s, f.progress, plan)
	err = sim.Run(ctx, plan, func(r sim.Record) error {
		if err := folder.Append(r); err != nil {
			return err
		}
		records = append(records, r)
		bar.done(r)
		return nil
	})
	bar.close()
	kept := fmt.Sprintf("%d of %d cells are kept in %s", len(records), len(plan.Cells), f.out)
	if errors.Is(err, context.Canceled) {
		return gateError{fmt.Errorf("interrupted: %s; --resume goes on", kept)}
	} else if err != nil {
		return gateError{fmt.Errorf("%w: %s; --resume goes on", err, kept)}
	}
	return finish(s, folder, f.out, records, f.noPlots, f.format)
}

// prepare reads the rows of a plan and sets the knobs of an equal-bytes run.
func prepare(ctx context.Context, p *sim.Plan) error {
	err := p.Load(ctx)
	if err == nil {
		err = p.Size(ctx)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return gateError{errors.New("interrupted before the first cell: nothing was written")}
	case errors.Is(err, sim.ErrNothing):
		return err
	case err != nil:
		return fmt.Errorf("--trace: %w", err)
	}
	return nil
}

// openFolder opens the folder of a new run, or of one that goes on, and returns the records in it.
func openFolder(f *runFlags, m sim.Manifest, p *sim.Plan) (*sim.Folder, []sim.Record, error) {
	if !f.resume {
		folder, err := sim.NewFolder(f.out, m)
		return folder, nil, err
	}
	folder, err := sim.ResumeFolder(f.out, m)
	if err != nil {
		return nil, nil, err
	}
	records, err := report.Load(f.out)
	if errors.Is(err, report.ErrEmpty) {
		err = nil
	}
	if err == nil {
		if err = p.Resume(records); err != nil {
			err = fmt.Errorf("%s: %s: %w", f.out, sim.RecordsFile, err)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, folder.Close())
	}
	return folder, records, nil
}

// finish writes the reports of a run whose records are all there, marks it as finished and prints it.
func finish(s *streams, folder *sim.Folder, dir string, records []sim.Record, noPlots bool, format string) error {
	if err := writeOutputs(folder, dir, records, noPlots); err != nil {
		return gateError{err}
	}
	if err := folder.Finish(s.now()); err != nil {
		return gateError{err}
	}
	if err := report.Write(s.out, records, s.reportOptions(format)); err != nil {
		return gateError{err}
	}
	return failures(records)
}

// elsewhere are the flags that records do not depend on, and those that the manifest has in another form.
var elsewhere = []string{
	"help", "dry-run", "format", "no-plots", "out", "print", "progress", "resume", // no record depends on them
	"calibrate", "shard", "threads", "trace",
}

// manifestOf is the manifest as far as the command line decides it.
func manifestOf(s *streams, flags *pflag.FlagSet) sim.Manifest {
	m := sim.Manifest{
		Schema: sim.Schema, Args: os.Args[1:], Version: version(), Machine: sim.ThisMachine(), Kernel: kernel.Name,
		Started: s.now(), Settings: map[string]string{},
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(elsewhere, f.Name) {
			m.Settings[f.Name] = f.Value.String()
		}
	})
	return m
}

// describe adds what the plan knows.
func describe(m *sim.Manifest, p *sim.Plan) error {
	m.Seed, m.Threads, m.Limits, m.Flushing, m.Cells = p.Seed, p.Threads, p.Limits, p.Flushing, len(p.Cells)
	m.Calibrate = []sim.ManifestTrace{}
	for _, t := range p.Traces {
		id, err := identity(t)
		if err != nil {
			return fmt.Errorf("--trace %w", err)
		}
		m.Traces = append(m.Traces, id)
		if on := p.Calibrate[t]; on != nil {
			if id, err = identity(on); err != nil {
				return fmt.Errorf("--calibrate %w", err)
			}
			m.Calibrate = append(m.Calibrate, id)
		}
	}
	for _, x := range p.Externals {
		hash, err := x.Hash()
		if err != nil {
			return fmt.Errorf("--external %s: %w", x.Name, err)
		}
		m.External = append(m.External, sim.ManifestTrace{Name: x.Name, SHA256: hash})
	}
	if p.Shard.Count > 0 {
		m.Shard = &sim.ManifestShard{Index: p.Shard.Index, Count: p.Shard.Count, Plan: p.Total, Positions: p.Positions}
	}
	return nil
}

// identity is what tells a trace from every other.
func identity(t *trace.Trace) (sim.ManifestTrace, error) {
	hash, err := t.Hash()
	if err != nil {
		return sim.ManifestTrace{}, fmt.Errorf("%s: %w", t.Name, err)
	}
	return sim.ManifestTrace{Name: t.Name, SHA256: hash, Source: t.Source}, nil
}

// reportOptions fits a report to the terminal.
func (s *streams) reportOptions(format string) report.Options {
	o := report.Options{Format: format, Width: s.width}
	if s.outTTY {
		o.Color = colorprofile.Env(s.env) > colorprofile.Ascii
	}
	return o
}

// writeOutputs writes the summaries and the plots into dir, which is the folder's.
func writeOutputs(folder *sim.Folder, dir string, records []sim.Record, noPlots bool) error {
	for name, format := range map[string]string{"summary.md": "markdown", "summary.csv": "csv"} {
		var b bytes.Buffer
		if err := report.Write(&b, records, report.Options{Format: format}); err != nil {
			return err
		}
		if err := folder.WriteFile(name, b.Bytes()); err != nil {
			return err
		}
	}
	if noPlots {
		return nil
	}
	_, err := report.WritePlots(dir, records)
	return err
}

// failures is the error of a run some of whose cells failed.
func failures(records []sim.Record) error {
	n, first := 0, sim.Record{}
	for _, r := range records {
		if r.Status == sim.Failed {
			if n == 0 {
				first = r
			}
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return gateError{fmt.Errorf("%d of %d cells failed, the first %s: %s", n, len(records), sim.CellName(first), first.Reason)}
}
