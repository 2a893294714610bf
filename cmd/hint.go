package cmd

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kvgauge/sim/record"
)

// unknownCommand refuses a word where a command of c is wanted, and offers the nearest.
func unknownCommand(c *cobra.Command, word string) error {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	hint := cmp.Or(record.DidYouMean(word, names), " (see "+c.CommandPath()+" --help)")
	return fmt.Errorf("unknown command %q for %q%s", word, c.CommandPath(), hint)
}

// strictHelp refuses help for a command that there is not: cobra shows that of the one above it, and ends well.
func strictHelp(root *cobra.Command, failed *error) {
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		if words := c.Flags().Args(); c.HasAvailableSubCommands() && len(words) > 0 {
			*failed = record.Input(unknownCommand(c, words[0]))
			return
		}
		help(c, args)
	})
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.Args = func(c *cobra.Command, args []string) error {
				if of, words, _ := root.Find(args); len(words) > 0 && of.HasAvailableSubCommands() {
					return record.Input(unknownCommand(of, words[0]))
				}
				return nil
			}
		}
	}
}

// unknownFlag adds the nearest flag of c to an error about one that there is not.
func unknownFlag(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if n := record.Nearest(unknown.GetSpecifiedName(), names); n != "" {
		return fmt.Errorf("%w, did you mean --%s?", err, n)
	}
	return err
}
