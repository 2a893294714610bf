package cmd

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"kvgauge/sim"
	"kvgauge/sim/record"
)

// drawMemory is what drawing the pictures takes.
const drawMemory = 72 << 20

// printPlan lists the cells of a run with what they are expected to need, as trials and measurements of this machine
// tell. resident is the memory that the process took before it planned.
func printPlan(ctx context.Context, s *system, p sim.Plan, in inputs, resident int64, plots bool) error {
	s.leaves("nothing was measured")
	var testbed *sim.Testbed
	if !p.NoLatency {
		testbed = sim.MeasureMachine(sim.ThisMachine(), p.Threads)
	}
	forecast, err := sim.NewForecast(ctx, p, in.traces, testbed)
	if err != nil {
		return err
	}
	s.sayIgnored(in)
	after := int64(0)
	if plots {
		after = drawMemory
	}
	memory, most := p.Memory(resident, after)
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "trace\tseq_len\tdecode\tpipeline\tmemory (estimate)\ttime (estimate)")
	for i, c := range p.Cells {
		if c.Skip != "" {
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\t-\tskipped: %s\n", c.Trace.Name, c.SeqLen, c.Decode, c.Pipeline.Name, c.Skip)
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\n", c.Trace.Name, c.SeqLen, c.Decode, c.Pipeline.Name,
			humanize.IBytes(uint64(memory[i])), forecast.Cells[i].Round(time.Millisecond))
	}
	fmt.Fprintf(w, "%s\t\t\t\t%s\t%s\n", record.Count(len(p.Cells), "cell", ""), humanize.IBytes(uint64(most)), forecast.Total.Round(time.Millisecond))
	if slices.ContainsFunc(p.Cells, func(c sim.Cell) bool { return c.Pipeline.Share > 0 }) {
		fmt.Fprintln(w, "budgets of the set default are shares of bytes, which the run sets first: these times leave that out")
	}
	return w.Flush()
}
