// Package cmd is the command line: one file a command, flags in, calls into sim, record and report.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/charmbracelet/colorprofile"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kvgauge/report"
	"kvgauge/sim/kernel"
	"kvgauge/sim/record"
)

// system is what a command knows of its surroundings.
type system struct {
	args     []string // after the program's name
	env      []string
	out, err io.Writer
	outTTY   bool
	errTTY   bool
	width    int // of the terminal; 0 where there is none
	now      func() time.Time

	left atomic.Pointer[string] // what the command leaves behind where it ends early
}

// leaves says what the command leaves behind where it ends early from here on.
func (s *system) leaves(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.left.Store(&text)
}

// getenv returns a variable of the environment, "" where it is not set.
func (s *system) getenv(name string) string {
	for _, v := range s.env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// reportOptions fits a report to the terminal.
func (s *system) reportOptions(format string, v report.View) report.Options {
	o := report.Options{Format: format, Width: s.width, View: v}
	if s.outTTY {
		o.Color = colorprofile.Env(s.env) > colorprofile.Ascii
	}
	return o
}

// patience is how long a command may take to end cleanly after a signal. What it writes stands the end of the process at
// any moment.
const patience = 900 * time.Millisecond

// Main runs the program and returns its exit code. The first signal ends a command cleanly, where that is soon, and a
// second one at once.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	s := &system{
		args: os.Args[1:], env: os.Environ(), out: os.Stdout, err: os.Stderr, now: time.Now,
		outTTY: term.IsTerminal(int(os.Stdout.Fd())), errTTY: term.IsTerminal(int(os.Stderr.Fd())),
	}
	if s.outTTY {
		s.width, _, _ = term.GetSize(int(os.Stdout.Fd()))
	}
	context.AfterFunc(ctx, func() {
		stop()
		time.Sleep(patience)
		os.Exit(s.report(ctx.Err()))
	})
	return execute(ctx, s)
}

// execute runs one command line.
func execute(ctx context.Context, s *system) int {
	err := record.Input(kernel.Select(s.getenv(kernel.Variable)))
	if err == nil {
		root := newRoot(s)
		var noHelp error
		strictHelp(root, &noHelp)
		root.SetArgs(s.args)
		root.SetOut(s.out)
		root.SetErr(s.err)
		if err = root.ExecuteContext(ctx); err == nil {
			err = noHelp
		}
	}
	if err == nil {
		err = ctx.Err() // a signal is never a success, however late it came
	}
	return s.report(err)
}

// report says on stderr how a command ended, and returns the exit code.
func (s *system) report(err error) int {
	left := ""
	if text := s.left.Load(); text != nil {
		left = *text
	}
	code, text := exit(err, left)
	if text != "" {
		if s.errTTY {
			fmt.Fprint(s.err, "\r\x1b[K") // over a counter
		}
		fmt.Fprintf(s.err, "kvgauge: %s\n", text)
	}
	return code
}

// newRoot makes the command tree.
func newRoot(s *system) *cobra.Command {
	root := &cobra.Command{
		Use:   "kvgauge",
		Short: "Measure what KV-cache reduction methods cost and save",
		Long: `kvgauge replays attention traces through KV-cache reduction methods and reports, per sequence
length, cache bytes, latency and attention-output error.`,
		Example: `  # the methods that answer most questions, on two real traces and a synthetic one
  kvgauge run

  # two methods at several budgets on one trace
  kvgauge run --trace smollm2 --methods snapkv,streamingllm --budget 12%,25%,50% --out budgets`,
		Version:       versionLine(),
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return flagError(unknownFlag(c, err)) })
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		if err := noEmptyFlags(c.Flags()); err != nil {
			return err
		}
		return exclusiveFlags(c)
	}
	root.AddCommand(newRunCmd(s), newPlanCmd(s), newTraceCmd(s), newReportCmd(s), newCompareCmd(s), newMergeCmd(s), newRecommendCmd(s), newListCmd(s), newVersionCmd(s))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	markArguments(root)
	return root
}

// markArguments marks what a command and those below it say of their arguments as errors of the input.
func markArguments(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if c.HasAvailableSubCommands() && len(args) > 0 {
				return record.Input(unknownCommand(c, args[0]))
			}
			err := check(c, args)
			if err != nil && strings.HasPrefix(err.Error(), "unknown command") { // cobra's words where there are no commands
				err = fmt.Errorf("%s takes no arguments, not %q", c.CommandPath(), args[0])
			}
			return record.Input(err)
		}
	}
	for _, sub := range c.Commands() {
		markArguments(sub)
	}
}

// group is a command that only holds others.
func group(c *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	c.Args = cobra.NoArgs
	c.RunE = func(c *cobra.Command, _ []string) error {
		return record.Input(errors.New(c.CommandPath() + " needs a subcommand (see " + c.CommandPath() + " --help)"))
	}
	c.AddCommand(subs...)
	return c
}
