package cmd

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kvgauge/report"
	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

func newTraceCmd(s *streams) *cobra.Command {
	return group(&cobra.Command{Use: "trace", Short: "Make and inspect attention traces"},
		newTraceSynthCmd(s), newTraceInfoCmd(s))
}

func newTraceSynthCmd(s *streams) *cobra.Command {
	var out, dtype, tokens string
	var seed uint64
	c := &cobra.Command{
		Use:   "synth [key=value,...]",
		Short: "Write a synthetic trace as a safetensors file",
		Long: `Synth writes what the trace named synth holds. Its parameters are those of synth:key=value,...;
kvgauge list traces shows them.`,
		Example: `  kvgauge trace synth --out synth.safetensors
  kvgauge trace synth layers=32,q_heads=32,kv_heads=8,head_dim=128 --tokens 8k --dtype F16 --out llama.safetensors`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return runTraceSynth(c.Context(), s, args, out, dtype, tokens, seed)
		},
	}
	c.Flags().StringVar(&out, "out", "", "`file` to write")
	c.Flags().StringVar(&dtype, "dtype", "F32", "F32|F16|BF16")
	c.Flags().StringVar(&tokens, "tokens", "", "`length` of the trace, such as 8k (default that of the parameters)")
	c.Flags().Uint64Var(&seed, "seed", 1, "`seed` of the content")
	completeValues(c, "dtype", "F32", "F16", "BF16")
	return c
}

// runTraceSynth writes the trace, with progress on a terminal.
func runTraceSynth(ctx context.Context, s *streams, args []string, out, dtype, tokens string, seed uint64) error {
	if out == "" {
		return errors.New("--out: want the file to write")
	}
	spec := "synth"
	if len(args) > 0 {
		spec += ":" + strings.TrimPrefix(args[0], "synth:")
	}
	o := trace.Options{Seed: seed}
	if tokens != "" {
		if strings.Contains(spec, "tokens=") {
			return errors.New("--tokens: the parameters name tokens already")
		}
		n, err := method.ParseCount(tokens)
		if err != nil || n < 1 {
			return fmt.Errorf("--tokens %q: want a positive number of tokens, such as 8k", tokens)
		}
		sep := ":"
		if strings.Contains(spec, ":") {
			sep = ","
		}
		spec += fmt.Sprintf("%stokens=%d", sep, n)
	}
	t, err := trace.Open(spec, o)
	if err != nil {
		return err
	}
	defer t.Close()
	err = trace.Write(out, t, dtype, func(done, total int) error {
		if s.errTTY {
			fmt.Fprintf(s.err, "\r%d/%d tensors", done, total)
			if done == total {
				fmt.Fprintln(s.err)
			}
		}
		return ctx.Err()
	})
	if errors.Is(err, context.Canceled) {
		return gateError{fmt.Errorf("interrupted: %s was not written", out)}
	}
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

func newTraceInfoCmd(s *streams) *cobra.Command {
	var format, tokens string
	var seed uint64
	c := &cobra.Command{
		Use:   "info TRACE",
		Short: "Print the shape of a trace and the statistics of its attention",
		Long: `Info prints the same figures for any trace, synthetic or real: attention sink, entropy, heavy
hitters, locality, rank of keys and values, drift of content, similarity of queries and of layers, needles.
They are of exact attention in float64, over sampled queries of the second half of the tokens.`,
		Example: `  kvgauge trace info smollm2
  kvgauge trace info synth --tokens 1k
  kvgauge trace info capture.safetensors --format json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains([]string{"table", "json"}, format) {
				return fmt.Errorf("--format %q: want table or json", format)
			}
			return runTraceInfo(c.Context(), s, args[0], format, tokens, seed)
		},
		ValidArgsFunction: completeTraces,
	}
	c.Flags().StringVar(&format, "format", "table", "table|json")
	c.Flags().StringVar(&tokens, "tokens", "", "measure the first `length` tokens only, such as 1k (default all)")
	c.Flags().Uint64Var(&seed, "seed", 1, "`seed` of a synthetic trace's content")
	completeValues(c, "format", "table", "json")
	return c
}

// runTraceInfo measures and prints.
func runTraceInfo(ctx context.Context, s *streams, name, format, tokens string, seed uint64) error {
	o := trace.StatsOptions{Threads: runtime.GOMAXPROCS(0)}
	if tokens != "" {
		n, err := method.ParseCount(tokens)
		if err != nil || n < 1 {
			return fmt.Errorf("--tokens %q: want a positive number of tokens, such as 1k", tokens)
		}
		o.Tokens = n
	}
	t, err := trace.Open(name, trace.Options{Seed: seed, Tokens: o.Tokens})
	if err != nil {
		return err
	}
	defer t.Close()
	stats, err := trace.Measure(ctx, t, o)
	if errors.Is(err, context.Canceled) {
		return gateError{errors.New("interrupted")}
	} else if err != nil {
		return err
	}
	return report.WriteStats(s.out, t, stats, s.reportOptions(format))
}
