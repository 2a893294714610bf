// Package cmd is the command line: one file a command, flags in, calls into sim and report.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kvgauge/sim/kernel"
)

// Exit codes of the program.
const (
	exitOK    = 0
	exitGate  = 1 // a cell failed after the others finished, or the run was interrupted
	exitUsage = 2 // wrong usage or unreadable input
)

// streams are what a command reads its surroundings from.
type streams struct {
	out, err io.Writer
	outTTY   bool
	errTTY   bool
	width    int // of the terminal; 0 where there is none
	env      []string
	now      func() time.Time
}

// gateError is a result that must not pass as success, of a command that did its work.
type gateError struct{ error }

// Main runs the program and returns its exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &streams{
		out: os.Stdout, err: os.Stderr, env: os.Environ(), now: time.Now,
		outTTY: term.IsTerminal(int(os.Stdout.Fd())), errTTY: term.IsTerminal(int(os.Stderr.Fd())),
	}
	if s.outTTY {
		s.width, _, _ = term.GetSize(int(os.Stdout.Fd()))
	}
	return execute(ctx, s, os.Args[1:])
}

// execute runs one command line.
func execute(ctx context.Context, s *streams, args []string) int {
	if err := kernel.Select(os.Getenv(kernel.Variable)); err != nil {
		fmt.Fprintf(s.err, "kvgauge: %v\n", err)
		return exitUsage
	}
	root := newRoot(s)
	root.SetArgs(args)
	root.SetOut(s.out)
	root.SetErr(s.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	// One line, whatever a library put into the message.
	fmt.Fprintf(s.err, "kvgauge: %s\n", strings.Join(strings.Fields(err.Error()), " "))
	var gate gateError
	if errors.As(err, &gate) {
		return exitGate
	}
	return exitUsage
}

// newRoot makes the command tree.
func newRoot(s *streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "kvgauge",
		Short: "Measure what KV-cache reduction methods cost and save",
		Long: `kvgauge replays attention traces through KV-cache reduction methods and reports, per sequence
length, cache bytes, latency and attention-output error.`,
		Example: `  # every seed method on two real traces and a synthetic one
  kvgauge run

  # two methods at several budgets on one trace
  kvgauge run --trace smollm2 --methods snapkv,streamingllm --budget 12%,25%,50%`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return noEmptyFlags(c.Flags()) }
	root.AddCommand(newRunCmd(s), newTraceCmd(s), newReportCmd(s), newCompareCmd(s), newMergeCmd(s), newListCmd(s), newVersionCmd(s))
	return root
}

// group is a command that only holds others.
func group(c *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	c.Args = cobra.NoArgs
	c.RunE = func(c *cobra.Command, _ []string) error {
		return fmt.Errorf("%s needs a subcommand (see %s --help)", c.CommandPath(), c.CommandPath())
	}
	c.AddCommand(subs...)
	return c
}
