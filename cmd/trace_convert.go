package cmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

// convertFlags are the flags of trace convert.
type convertFlags struct {
	out, dtype, tokens, layers, heads string
	transpose                         bool
}

func newTraceConvertCmd(s *system) *cobra.Command {
	f := &convertFlags{}
	c := &cobra.Command{
		Use:   "convert TRACE",
		Short: "Write a trace in another container or dtype, or a part of one",
		Long: `Convert writes a trace as a safetensors file, an npz archive or a folder of npy files, as --out ends in
.safetensors, in .npz or in neither. All tensors and metadata are carried along, token ids and outputs too.
--dtype rounds the rows.

--tokens keeps some tokens, with the positions that they had in the rotary embedding. Where the first are left
out, so are the outputs of layers whose queries read them, and the part of a layer with chunks must begin with a
chunk. --layers keeps some layers; one that reads the keys of another keeps that too; states are always kept.
--heads keeps some KV heads of every layer, with the query heads that read them.

--transpose reads rows that lie [heads, tokens, channels] or [1, heads, tokens, channels], as models hand them
over.`,
		Example: `  kvgauge trace convert capture.npz --out capture.safetensors
  kvgauge trace convert smollm2 --dtype BF16 --tokens 0..511 --layers 0,14..15 --out small.safetensors
  kvgauge trace convert heads-first.safetensors --transpose --out trace.safetensors`,
		Args: arguments(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return runTraceConvert(c.Context(), s, args[0], f)
		},
		ValidArgsFunction: completeTraces,
	}
	fl := c.Flags()
	fl.StringVar(&f.out, "out", "", "`file` or folder to write")
	enumFlag(c, &f.dtype, "dtype", "", []string{"F32", "F16", "BF16"}, "of the rows (default as they are): ")
	fl.StringVar(&f.tokens, "tokens", "", "tokens to keep, `first..last`, such as 0..1023 (default all)")
	fl.StringVar(&f.layers, "layers", "", "`layers` to keep, such as 0,4..7 (default all)")
	fl.StringVar(&f.heads, "heads", "", "KV `heads` to keep, such as 0,2..3, with the query heads that read them (default all)")
	fl.BoolVar(&f.transpose, "transpose", false, "the rows lie heads first")
	return c
}

// runTraceConvert writes the part of the trace that is asked for, with progress on a terminal.
func runTraceConvert(ctx context.Context, s *system, name string, f *convertFlags) error {
	if f.out == "" {
		return lacks("out", "want the file or folder to write")
	}
	if err := outputTrace(&f.out, name); err != nil {
		return err
	}
	t, err := trace.Open(name, trace.Options{HeadsFirst: f.transpose})
	if err != nil {
		return err
	}
	defer t.Close()
	if t, err = cutTrace(s, t, f); err != nil {
		return err
	}
	for _, line := range t.Carried() {
		fmt.Fprintf(s.err, "kvgauge: trace %s: %s\n", t.Name, line)
	}
	s.leaves("%s was not written", f.out)
	err = trace.Export(ctx, f.out, t, f.dtype, func(done, total int) error {
		s.tick(done, total, "tensors")
		return ctx.Err()
	})
	if err == nil {
		s.leaves("")
	}
	return err
}

// cutTrace is the part of a trace that flags ask for. What it lacks is said on stderr.
func cutTrace(s *system, t *trace.Trace, f *convertFlags) (*trace.Trace, error) {
	if f.tokens == "" && f.layers == "" && f.heads == "" {
		return t, nil
	}
	c := trace.Cut{Last: t.Tokens - 1}
	var err error
	if f.tokens != "" {
		if c.First, c.Last, err = parseTokens(f.tokens); err != nil {
			return nil, err
		}
	}
	if f.layers != "" {
		if c.Layers, err = parseNumbers("layers", f.layers); err != nil {
			return nil, err
		}
	}
	if f.heads != "" {
		if c.Heads, err = parseNumbers("heads", f.heads); err != nil {
			return nil, err
		}
	}
	slices.Sort(c.Layers)
	slices.Sort(c.Heads)
	part, notes, err := t.Cut(c)
	for _, line := range notes {
		fmt.Fprintf(s.err, "kvgauge: trace %s: %s\n", t.Name, line)
	}
	return part, err
}

// parseTokens reads first..last, both included.
func parseTokens(text string) (first, last int, err error) {
	a, b, ok := strings.Cut(text, "..")
	first, errA := method.ParseCount(a)
	last, errB := method.ParseCount(b)
	if !ok || errA != nil || errB != nil || last < first {
		return 0, 0, wrong("tokens", text, "want first..last within 0..%d, such as 0..1023", method.MaxCount)
	}
	return first, last, nil
}
