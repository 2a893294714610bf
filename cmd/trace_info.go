package cmd

import (
	"cmp"
	"context"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"kvgauge/report"
	"kvgauge/sim"
	"kvgauge/sim/kernel"
	"kvgauge/sim/method"
	"kvgauge/sim/trace"
	"kvgauge/sim/trace/stats"
)

// infoFlags are the flags of trace info.
type infoFlags struct {
	format, tokens, plot string
	seed                 uint64
	returns              bool
}

func newTraceInfoCmd(s *system) *cobra.Command {
	f := &infoFlags{}
	c := &cobra.Command{
		Use:   "info TRACE",
		Short: "Print the shape of a trace and the statistics of its attention",
		Long: `Info prints the same figures for any trace, synthetic or real: attention sink, entropy, heavy hitters,
locality, likeness of adjacent queries, drift of content, needles; how few directions hold keys and
values, before and after the rotary embedding; how like adjacent layers' keys and values are, as they
are and after the best linear map. They are the properties that reduction methods rest on.

Attention is exact, in float64, of sampled queries of the second half of the tokens, with each layer's
window, chunks, soft cap, sinks and ALiBi slopes. With --returns all queries are looked at: after how long
a silence keys matter again, which no policy that judges by recent attention can foresee. The time for that
grows with the square of the tokens.

Heads, widths and attention that all layers have in common are printed once; where they differ there is a
line for each kind of layer.`,
		Example: `  kvgauge trace info smollm2
  kvgauge trace info smollm2 --returns --plot smollm2.png
  kvgauge trace info synth --tokens 1k
  kvgauge trace info capture.safetensors --format json`,
		Args: arguments(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("seed") && !trace.IsSynth(args[0]) {
				return wrong("seed", f.seed, "%s is recorded, want it for synth alone", args[0])
			}
			return runTraceInfo(c.Context(), s, args[0], f)
		},
		ValidArgsFunction: completeTraces,
	}
	fl := c.Flags()
	enumFlag(c, &f.format, "format", "table", []string{"table", "json"}, "")
	fl.StringVar(&f.tokens, "tokens", "", "measure the first `length` tokens only, such as 1k (default all)")
	fl.StringVar(&f.plot, "plot", "", "draw the figures into this `file` as well; its name ends with .png or .svg")
	fl.BoolVar(&f.returns, "returns", false, "look for keys that matter again after a silence")
	fl.Uint64Var(&f.seed, "seed", 1, "`seed` of a synthetic trace's content")
	return c
}

// runTraceInfo measures, draws and prints.
func runTraceInfo(ctx context.Context, s *system, name string, f *infoFlags) error {
	o := stats.Options{Threads: runtime.GOMAXPROCS(0), Returns: f.returns, Unbalanced: f.format == "json"}
	if f.tokens != "" {
		var err error
		if o.Tokens, err = parseTokenCount("tokens", f.tokens, method.MaxCount, "1k"); err != nil {
			return err
		}
	}
	if err := checkPlot(&f.plot, name); err != nil {
		return err
	}
	t, err := trace.Open(name, trace.Options{Seed: f.seed, Tokens: o.Tokens})
	if err != nil {
		return err
	}
	defer t.Close()
	s.sayUnknown(t)
	if err := sayDoubts(ctx, s, t, o); err != nil {
		return err
	}
	measured, err := stats.Measure(ctx, t, o)
	if err != nil {
		return err
	}
	if f.plot != "" {
		if err := report.WriteStatsPlot(f.plot, t, measured); err != nil {
			return err
		}
	}
	return report.WriteStats(s.out, t, measured, s.reportOptions(f.format, report.View{}))
}

// sayDoubts holds the trace against the outputs that it holds, of all queries, and says on stderr where they are off.
func sayDoubts(ctx context.Context, s *system, t *trace.Trace, o stats.Options) error {
	tokens := cmp.Or(o.Tokens, t.Tokens)
	if tokens > t.Tokens {
		return nil // which is refused as it is measured
	}
	pool := kernel.NewPool(o.Threads)
	defer pool.Close()
	warnings, err := sim.CheckOutputs(ctx, t, t.Layers, tokens, 0, pool)
	for _, w := range warnings {
		fmt.Fprintf(s.err, "kvgauge: trace %s: %s\n", t.Name, w.Text)
	}
	return err
}
