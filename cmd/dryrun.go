package cmd

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"kvgauge/sim"
	"kvgauge/sim/trace"
)

// perMultiplication is a rough guess for the time estimate alone; the run measures.
const perMultiplication = time.Nanosecond

// printPlan lists the cells of a run with what they are expected to need.
func printPlan(s *streams, p *sim.Plan) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "trace\tseq_len\tdecode\tpipeline\tmemory (estimate)\ttime (estimate)")
	var total time.Duration
	type reference struct {
		trace  *trace.Trace
		seqLen int
	}
	referenced := map[reference]bool{}
	for _, c := range p.Cells {
		if c.Skip != "" {
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\t-\tskipped: %s\n", c.Trace.Name, c.SeqLen, c.Decode, c.Pipeline.Name, c.Skip)
			continue
		}
		work := c.Work
		if !referenced[reference{c.Trace, c.SeqLen}] { // the first cell of a trace and length makes their reference
			referenced[reference{c.Trace, c.SeqLen}] = true
			work += c.Reference
		}
		d := time.Duration(work) * perMultiplication / time.Duration(p.Threads)
		total += d
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\n", c.Trace.Name, c.SeqLen, c.Decode, c.Pipeline.Name,
			humanize.IBytes(uint64(c.Memory)), d.Round(time.Millisecond))
	}
	fmt.Fprintf(w, "%d cells\t\t\t\t\t%s\n", len(p.Cells), total.Round(time.Millisecond))
	return w.Flush()
}
