package cmd

import (
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
	return fmt.Errorf("unknown command %q for %q%s", word, c.CommandPath(), didYouMean(record.Nearest(word, names)))
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
		return fmt.Errorf("%w%s", err, didYouMean("--"+n))
	}
	return err
}

// didYouMean offers a name, where there is one.
func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return ", did you mean " + name + "?"
}
