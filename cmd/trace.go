package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kvgauge/sim/method"
	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

func newTraceCmd(s *system) *cobra.Command {
	return group(&cobra.Command{Use: "trace", Short: "Make, capture, inspect and convert attention traces"},
		newTraceSynthCmd(s), newTraceCaptureCmd(s), newTraceHookCmd(s), newTraceInfoCmd(s), newTraceConvertCmd(s))
}

func newTraceSynthCmd(s *system) *cobra.Command {
	var out, dtype, tokens string
	var seed uint64
	c := &cobra.Command{
		Use:   "synth [key=value,...]",
		Short: "Write a synthetic trace into a file or folder",
		Long: `Synth writes what the trace named synth holds, as a safetensors file, an npz archive or a folder of npy
files, as --out ends in .safetensors, in .npz or in neither. Its parameters are those of synth:key=value,...;
kvgauge list traces shows them.`,
		Example: `  kvgauge trace synth --out synth.safetensors
  kvgauge trace synth layers=32,q_heads=32,kv_heads=8,head_dim=128 --tokens 8k --dtype F16 --out llama.safetensors`,
		Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return runTraceSynth(c.Context(), s, args, out, dtype, tokens, seed)
		},
	}
	c.Flags().StringVar(&out, "out", "", "`file` or folder to write")
	enumFlag(c, &dtype, "dtype", "F32", []string{"F32", "F16", "BF16"}, "")
	c.Flags().StringVar(&tokens, "tokens", "", "`length` of the trace, such as 8k (default that of the parameters)")
	c.Flags().Uint64Var(&seed, "seed", 1, "`seed` of the content")
	return c
}

// runTraceSynth writes the trace, with progress on a terminal.
func runTraceSynth(ctx context.Context, s *system, args []string, out, dtype, tokens string, seed uint64) error {
	if out == "" {
		return lacks("out", "want the file or folder to write")
	}
	if err := outputTrace(&out); err != nil {
		return err
	}
	spec := "synth"
	if len(args) > 0 {
		spec += ":" + strings.TrimPrefix(args[0], "synth:")
	}
	o := trace.Options{Seed: seed}
	if tokens != "" {
		if strings.Contains(spec, "tokens=") {
			return lacks("tokens", "the parameters name tokens already")
		}
		n, err := parseTokenCount("tokens", tokens, method.MaxCount, "8k")
		if err != nil {
			return err
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
	s.sayUnknown(t)
	s.leaves("%s was not written", out)
	err = trace.Write(ctx, out, t, dtype, func(done, total int) error {
		s.tick(done, total, "tensors")
		return ctx.Err()
	})
	if err == nil {
		s.leaves("")
	}
	return record.InPath("out", err)
}

// tick counts on a terminal what of a file is written.
func (s *system) tick(done, total int, what string) {
	if !s.errTTY {
		return
	}
	fmt.Fprintf(s.err, "\r%d/%d %s", done, total, what)
	if done == total {
		fmt.Fprintln(s.err)
	}
}

// sayIgnored says on stderr what of the files of a run was ignored.
func (s *system) sayIgnored(in inputs) {
	s.sayUnknown(in.traces...)
	for _, x := range in.externals {
		for _, line := range x.Unknown() {
			fmt.Fprintf(s.err, "kvgauge: external %s: %s\n", x.Name, line)
		}
	}
}

// sayUnknown says on stderr what of the files of traces was ignored.
func (s *system) sayUnknown(traces ...*trace.Trace) {
	for _, t := range traces {
		for _, line := range t.Unknown {
			fmt.Fprintf(s.err, "kvgauge: trace %s: %s\n", t.Name, line)
		}
	}
}
