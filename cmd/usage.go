package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kvgauge/sim/method"
	"kvgauge/sim/record"
)

// wrong is an error of an option's value.
func wrong(option string, value any, want string, args ...any) error {
	text := fmt.Sprint(value)
	if s, ok := value.(string); ok {
		text = strconv.Quote(s)
	}
	return &record.InputError{Option: option, Value: text, Err: fmt.Errorf(want, args...)}
}

// lacks is an error of an option that is not given.
func lacks(option, want string) error {
	return &record.InputError{Option: option, Err: errors.New(want)}
}

// enum is the value of a flag that takes one of a few words.
type enum struct {
	value  *string
	values []string
}

// enumFlag declares such a flag, with its completion.
func enumFlag(c *cobra.Command, value *string, name, byDefault string, values []string, usage string) {
	*value = byDefault
	c.Flags().Var(enum{value, values}, name, usage+strings.Join(values, "|"))
	_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

func (e enum) String() string { return *e.value }

func (e enum) Type() string { return "string" }

// Set takes one of the words.
func (e enum) Set(text string) error {
	if !slices.Contains(e.values, text) {
		return fmt.Errorf("want one of %s%s", strings.Join(e.values, ", "), record.DidYouMean(text, e.values))
	}
	*e.value = text
	return nil
}

// optionalInt is the value of a flag that stays nil where it is not given.
type optionalInt struct{ value **int }

func (o optionalInt) String() string {
	if o.value == nil || *o.value == nil {
		return ""
	}
	return strconv.Itoa(**o.value)
}

func (o optionalInt) Type() string { return "int" }

// Set reads an integer.
func (o optionalInt) Set(text string) error {
	n, err := strconv.Atoi(text)
	*o.value = &n
	return err
}

// optionalCount is an optionalInt of tokens, where k stands for 1024.
type optionalCount struct{ optionalInt }

func (optionalCount) Type() string { return "count" }

// Set reads a count.
func (o optionalCount) Set(text string) error {
	n, err := method.ParseCount(text)
	if err != nil {
		return fmt.Errorf("want a number of tokens from 0 to %d, such as 64 or 1k", method.MaxCount)
	}
	*o.value = &n
	return nil
}

// wanted says what the values of a pflag type look like.
var wanted = map[string]string{"int": "want an integer", "uint64": "want an integer of 0 or more", "bool": "want true or false"}

// flagError words the refusal of a flag's value as those of this program are.
func flagError(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return record.Input(err)
	}
	f := invalid.GetFlag()
	want, ok := wanted[f.Value.Type()]
	if !ok {
		want = errors.Unwrap(invalid).Error()
	}
	return wrong(f.Name, invalid.GetValue(), "%s", want)
}

// noEmptyFlags refuses a flag that is given an empty value, such as --shard "$SHARD" where SHARD is not set: it
// would count as one that is absent.
func noEmptyFlags(flags *pflag.FlagSet) error {
	var err error
	flags.Visit(func(f *pflag.Flag) {
		if err == nil && f.Value.Type() == "string" && f.Value.String() == "" {
			err = wrong(f.Name, "", "want a value, or no such flag")
		}
	})
	return err
}

// exclusiveFlags refuses flags that were given together although each says that it excludes the other: cobra does, too, later
// and in words of its own. It keeps such groups with each of their flags.
func exclusiveFlags(c *cobra.Command) error {
	const groups = "cobra_annotation_mutually_exclusive"
	var err error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		for _, group := range f.Annotations[groups] {
			var given []string
			for _, name := range strings.Fields(group) {
				if c.Flags().Changed(name) {
					given = append(given, "--"+name)
				}
			}
			if err == nil && len(given) > 1 {
				err = record.Input(fmt.Errorf("%s exclude each other: give one", strings.Join(given, " and ")))
			}
		}
	})
	return err
}

// arguments wants from least to most arguments.
func arguments(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("%s, want %s", record.Count(len(args), "argument", ""), c.UseLine())
		}
		return nil
	}
}
