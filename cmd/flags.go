package cmd

import (
	"errors"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"kvgauge/sim"
	"kvgauge/sim/method"
	"kvgauge/sim/record"
)

// parseLengths reads sequence lengths: 1k is 1024, 512..8k doubles from the first, and ends with the last.
func parseLengths(text string) ([]int, error) {
	var ns []int
	for _, item := range strings.Split(text, ",") {
		item = strings.TrimSpace(item)
		lo, hi, isRange := strings.Cut(item, "..")
		first, err := length(lo)
		if err != nil {
			return nil, err
		}
		last := first
		if isRange {
			if last, err = length(hi); err != nil {
				return nil, err
			}
			if last < first {
				return nil, wrong("lengths", item, "the range ends before it begins")
			}
		}
		for n := first; n <= last; n *= 2 {
			ns = append(ns, n)
		}
		ns = append(ns, last)
	}
	return unique(ns), nil
}

// length reads one sequence length.
func length(text string) (int, error) {
	return parseTokenCount("lengths", text, method.MaxCount, "512, 4k or 512..8k")
}

// parseTokenCount reads the number of tokens, at least one, that an option has.
func parseTokenCount(option, text string, most int, such string) (int, error) {
	n, err := method.ParseCount(text)
	if err != nil || n < 1 || n > most {
		return 0, wrong(option, text, "want a number of tokens from 1 to %d, such as %s", most, such)
	}
	return n, nil
}

// parseLayers reads a layer subset, such as 0,4..7.
func parseLayers(text string) ([]int, error) { return parseNumbers("layers", text) }

// parseNumbers reads the numbers of an option's subset, such as 0,4..7.
func parseNumbers(option, text string) ([]int, error) {
	var ls []int
	for _, item := range strings.Split(text, ",") {
		item = strings.TrimSpace(item)
		lo, hi, isRange := strings.Cut(item, "..")
		first, err1 := strconv.Atoi(lo)
		last, err2 := first, error(nil)
		if isRange {
			last, err2 = strconv.Atoi(hi)
		}
		if err1 != nil || err2 != nil || first < 0 || last < first || last > math.MaxInt16 {
			return nil, wrong(option, item, "want %s by number, such as 0,4..7", option)
		}
		for l := first; l <= last; l++ {
			ls = append(ls, l)
		}
	}
	return unique(ls), nil
}

// parseBudgets reads the default budgets.
func parseBudgets(text string) ([]method.Entries, error) {
	var bs []method.Entries
	for _, item := range strings.Split(text, ",") {
		item = strings.TrimSpace(item)
		b, err := method.ParseBudget(item)
		if err != nil {
			return nil, wrong("budget", item, "%w", err)
		}
		bs = append(bs, b)
	}
	return unique(bs), nil
}

// parseMemory reads a size such as 8GiB, or a share of this machine's memory such as 80%.
func parseMemory(text string, machine uint64) (int64, error) {
	if share, ok := strings.CutSuffix(text, "%"); ok {
		p, err := strconv.ParseFloat(share, 64)
		if err != nil || !(p > 0 && p <= 100) {
			return 0, wrong("max-memory", text, "want a share above 0%% and up to 100%%")
		}
		return int64(p / 100 * float64(machine)), nil
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > math.MaxInt64 {
		return 0, wrong("max-memory", text, "want a size such as 8GiB, or a share such as 80%%")
	}
	return int64(n), nil
}

// parseTarget reads the size of an equal-bytes run: a share of the full cache, or bytes.
func parseTarget(text string) (*sim.Target, error) {
	want := wrong("at-bytes", text, "want a share of the full cache such as 25%%, or a size such as 64MiB")
	if share, ok := strings.CutSuffix(text, "%"); ok {
		p, err := strconv.ParseFloat(share, 64)
		if err != nil || !(p > 0 && p <= 100) {
			return nil, want
		}
		return &sim.Target{Share: p / 100}, nil
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > math.MaxInt64 {
		return nil, want
	}
	return &sim.Target{Bytes: int64(n)}, nil
}

// openExternals reads the results that --external names. Those of one name are one pipeline.
func (in *inputs) openExternals(args []string) error {
	for _, arg := range args {
		if err := in.openExternal(arg); err != nil {
			return &record.InputError{Option: "external", Value: arg, Err: err}
		}
	}
	return nil
}

// openExternal reads one result.
func (in *inputs) openExternal(arg string) error {
	name, path, ok := strings.Cut(arg, "=")
	if !ok {
		return errors.New("want NAME=FILE.safetensors")
	}
	i := slices.IndexFunc(in.externals, func(x *sim.External) bool { return x.Name == name })
	if i >= 0 {
		return in.externals[i].Add(path, in.traces)
	}
	x, err := sim.NewExternal(name)
	if err != nil {
		return err
	}
	in.externals = append(in.externals, x)
	return x.Add(path, in.traces)
}

// maxShards bounds n of --shard.
const maxShards = 10000

// parseShard reads i/n, i from 0.
func parseShard(text string) (sim.Shard, error) {
	i, n, _ := strings.Cut(text, "/")
	index, err1 := strconv.Atoi(i)
	count, err2 := strconv.Atoi(n)
	if err1 != nil || err2 != nil || count < 1 || count > maxShards || index < 0 || index >= count {
		return sim.Shard{}, wrong("shard", text, "want i/n with i from 0 to n-1, such as 0/4, and n up to %d", maxShards)
	}
	return sim.Shard{Index: index, Count: count}, nil
}

// splitTraces cuts lists of traces at their commas, but for those before key=value, which continue the parameters of synth, and
// those of a file's name.
func splitTraces(args []string) []string {
	var names []string
	for _, arg := range args {
		if _, err := os.Stat(arg); err == nil {
			names = append(names, arg)
			continue
		}
		for i, item := range strings.Split(arg, ",") {
			item = strings.TrimSpace(item)
			if last := len(names) - 1; i > 0 && strings.Contains(item, "=") && strings.HasPrefix(names[last], "synth:") {
				names[last] += "," + item
				continue
			}
			names = append(names, item)
		}
	}
	return names
}

// unique drops later copies.
func unique[T comparable](xs []T) []T {
	var out []T
	for _, x := range xs {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}
