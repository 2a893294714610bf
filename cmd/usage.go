package cmd

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// wanted says what the values of a pflag type look like.
var wanted = map[string]string{"int": "an integer", "uint64": "an integer of 0 or more", "bool": "true or false"}

// flagError words the refusal of a flag's value as those of this program are.
func flagError(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	f := invalid.GetFlag()
	return fmt.Errorf("--%s %q: want %s", f.Name, invalid.GetValue(), wanted[f.Value.Type()])
}

// noEmptyFlags refuses a flag that is given an empty value, such as --shard "$SHARD" where SHARD is not set: it
// would count as one that is absent.
func noEmptyFlags(flags *pflag.FlagSet) error {
	var err error
	flags.Visit(func(f *pflag.Flag) {
		if err == nil && f.Value.Type() == "string" && f.Value.String() == "" {
			err = fmt.Errorf("--%s \"\": want a value, or no such flag", f.Name)
		}
	})
	return err
}

// arguments wants from least to most arguments.
func arguments(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("%d arguments, want %s", len(args), c.UseLine())
		}
		return nil
	}
}
