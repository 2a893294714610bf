package cmd

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"kvgauge/sim/record"
)

// apartFromArguments are the flags of run that say how it goes on and what is shown, not what is measured.
var apartFromArguments = []string{
	"resume", "out", "format", "progress", "no-plots", "plot-format", "sort", "top", "all-rows", "all-lengths", "max-memory",
}

// resumed are the flags of the run that --out holds, where --resume is given without what to measure: its manifest has the
// arguments. With arguments of one's own they are those given, and a run begins where there is none.
func (f *runFlags) resumed(s *system, given *pflag.FlagSet) (*runFlags, *pflag.FlagSet, error) {
	own := false
	given.Visit(func(g *pflag.Flag) { own = own || !slices.Contains(apartFromArguments, g.Name) })
	if !f.resume || own {
		return f, given, nil
	}
	m, err := record.ReadManifest(f.out)
	if err != nil {
		return nil, nil, record.InOption("resume", fmt.Errorf("%w; or say what to measure", err))
	}
	c, of := newRunFlags(s)
	if len(m.Args) == 0 || m.Args[0] != c.Name() {
		return nil, nil, unusable(f.out, errors.New("want those of kvgauge run, to go on with"))
	}
	if err := c.ParseFlags(m.Args[1:]); err != nil || c.Flags().NArg() > 0 {
		if err == nil {
			err = errors.New("an argument that is no flag")
		}
		return nil, nil, unusable(f.out, err)
	}
	var failed error
	for _, name := range apartFromArguments {
		if flag := given.Lookup(name); flag.Changed {
			failed = errors.Join(failed, c.Flags().Set(name, flag.Value.String()))
		}
	}
	of.out, of.force = f.out, false // the folder may have been moved
	return of, c.Flags(), failed
}

// unusable is the error of arguments that a folder's manifest has.
func unusable(dir string, why error) error {
	return record.InOption("out", record.Input(fmt.Errorf("%s: %s: args: %w", dir, record.ManifestFile, why)))
}
