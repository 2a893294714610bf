package cmd

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kvgauge/report"
	"kvgauge/sim"
	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

// maxPage bounds --page: far above the pages of any allocator.
const maxPage = 1 << 24

// runFlags are the flags of run as given.
type runFlags struct {
	traces    []string
	methods   []string
	lengths   string
	budget    string
	atBytes   string
	windows   int
	externals []string
	calibrate string
	decode    int
	repeats   int
	seed      uint64
	layers    string
	threads   int
	maxMemory string
	dryRun    bool
	shard     string
	resume    bool
	print     string
	out       string
	format    string
	page      int
	kept      bool
	noLatency bool
	noPlots   bool
	progress  string
}

func newRunCmd(s *streams) *cobra.Command {
	f := &runFlags{}
	c := &cobra.Command{
		Use:   "run",
		Short: "Measure pipelines of methods on traces: records, tables and plots",
		Long: `Run replays each trace through each pipeline at each sequence length and measures cache bytes,
latency and attention-output error against float64 attention over the whole cache. The table goes to
stdout; records.jsonl, run.json, the summaries and the plots go to --out.

A pipeline is one or more methods joined by +, applied left to right, with parameters after a colon:
gqa:heads=2+snapkv:budget=128,window=16. kvgauge list methods shows what there is; the names of sets
(seed, all, or a family such as eviction) stand for several pipelines.

With --at-bytes every pipeline gets a cache of the same size: its knob (entries, rank, heads, bits; one that
the pipeline names itself stays) is set to the largest cache that is not above it, and the table ranks the
errors. --windows averages the error over several prefixes, with an interval. --external adds a result that
was made elsewhere: kept positions or reconstructed rows, in a safetensors file.`,
		Example: `  # every seed method on the built-in traces, 128 tokens to the whole trace
  kvgauge run

  # one method over budgets, on one trace at one length, no files but the table
  kvgauge run --trace smollm2 --lengths 1k --methods full,snapkv --budget 2.5%,12%,25%,50%

  # a quarter of the bytes for every method: whose error is least, over four prefixes
  kvgauge run --trace smollm2 --lengths 1k --methods all --at-bytes 25% --windows 4

  # somebody else's result beside one's own
  kvgauge run --trace smollm2 --lengths 1k --methods snapkv,oracle,random --external theirs=theirs.safetensors

  # your own trace, JSON on stdout
  kvgauge run --trace llama.safetensors --methods eviction --format json --out results

  # go on after a kill; a quarter of the cells; an array job of 8 tasks and one that merges them
  kvgauge run --resume
  kvgauge run --shard 0/4 --out part0
  kvgauge run --shard 0/8 --print slurm | sh`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f.decodeGiven(c)
			if c.Flags().Changed("repeats") && f.repeats < 1 { // sim reads 0 as the default
				return fmt.Errorf("--repeats %d: want at least 1 sample (or --no-latency)", f.repeats)
			}
			if f.atBytes != "" && c.Flags().Changed("budget") {
				return errors.New("--at-bytes sets the budgets itself: it does not go with --budget")
			}
			if f.print != "" {
				return printJob(s, f, c.Flags())
			}
			return runRun(c.Context(), s, f, manifestOf(s, c.Flags()))
		},
	}
	fl := c.Flags()
	fl.StringArrayVar(&f.traces, "trace", []string{"smollm2", "bytelm", "synth"}, "trace `file`, directory or built-in name; repeatable")
	fl.StringArrayVar(&f.methods, "methods", []string{"seed"}, "`pipelines` or set names, comma-separated; repeatable")
	fl.StringVar(&f.lengths, "lengths", "", "sequence `lengths`, such as 512,4k or 512..8k (default powers of two from 128, and the whole trace)")
	fl.StringVar(&f.budget, "budget", "25%", "default `budgets` of methods that name none: counts or shares of the sequence")
	fl.StringVar(&f.atBytes, "at-bytes", "", "set every pipeline's cache to this `size`: a share of full (25%) or bytes (64MiB)")
	fl.IntVar(&f.windows, "windows", 1, "`prefixes` whose errors a cell averages: they end at its length, and each a decode earlier, down to half")
	fl.StringArrayVar(&f.externals, "external", nil, "`name=file.safetensors` of a result made elsewhere; repeatable")
	fl.StringVar(&f.calibrate, "calibrate", "", "`trace` of the same model and shape to fit linear maps on (built-in traces bring their own)")
	fl.IntVar(&f.decode, "decode", 0, "decoded `tokens` per cell (default an eighth of the sequence, within 16..64)")
	fl.IntVar(&f.repeats, "repeats", 0, "latency `samples` per cell (default 6 to 50: until the ratio to full is known within 3 %, or 250 ms have passed)")
	fl.Uint64Var(&f.seed, "seed", 1, "`seed` of everything random")
	fl.StringVar(&f.layers, "layers", "", "layer `subset`, such as 0,4..7 (default all)")
	fl.IntVar(&f.threads, "threads", runtime.GOMAXPROCS(0), "`number` of goroutines that compute")
	fl.StringVar(&f.maxMemory, "max-memory", "80%", "skip cells that need more memory: a `size` or a share of this machine's")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print the cells with the memory and time that half a second of trials tells")
	fl.StringVar(&f.shard, "shard", "", "measure part `i/n` of the cells only, i from 0; kvgauge merge joins the parts")
	fl.BoolVar(&f.resume, "resume", false, "go on with the run that was cut short in --out, where there is one")
	fl.StringVar(&f.print, "print", "", "print a job of n parts (that of --shard, default 4) for slurm or kubernetes, measure nothing")
	fl.StringVar(&f.out, "out", "kvgauge-out", "output `directory`")
	fl.StringVar(&f.format, "format", "table", "what stdout shows: "+strings.Join(report.Formats(), "|"))
	fl.IntVar(&f.page, "page", 16, "block size in `entries` for paged_bytes")
	fl.BoolVar(&f.kept, "kept", false, "store kept positions in the records")
	fl.BoolVar(&f.noLatency, "no-latency", false, "skip the latency measurement")
	fl.BoolVar(&f.noPlots, "no-plots", false, "skip the plots")
	fl.StringVar(&f.progress, "progress", "auto", "progress on stderr: auto|on|off")
	completeValues(c, "format", report.Formats()...)
	completeValues(c, "progress", "auto", "on", "off")
	completeValues(c, "print", engines()...)
	_ = c.RegisterFlagCompletionFunc("methods", completeMethods)
	_ = c.RegisterFlagCompletionFunc("trace", completeTraces)
	_ = c.RegisterFlagCompletionFunc("calibrate", completeTraces)
	return c
}

// decodeGiven turns an absent --decode into the negative that sim reads as the default, so that a
// negative one that was given can be refused.
func (f *runFlags) decodeGiven(c *cobra.Command) {
	if !c.Flags().Changed("decode") {
		f.decode = -1
	} else if f.decode < 0 {
		f.decode = -2
	}
}

// options checks the flags and opens the traces, which the caller closes.
func (f *runFlags) options() (sim.Options, error) {
	o := sim.Options{
		Decode: f.decode, Windows: f.windows, Repeats: f.repeats, Seed: f.seed, Threads: f.threads, Page: f.page,
		Kept: f.kept, NoLatency: f.noLatency, Version: version(),
	}
	switch {
	case f.decode < -1:
		return o, errors.New("--decode: want 0 or more tokens")
	case f.decode == 0 && !f.kept:
		return o, errors.New("--decode 0: nothing is decoded, so it needs --kept")
	case f.windows < 1 || f.windows > 1 && f.decode == 0:
		return o, fmt.Errorf("--windows %d: want 1 or more, and 1 with --decode 0", f.windows)
	case f.threads < 1 || f.threads > 1024:
		return o, fmt.Errorf("--threads %d: want 1 to 1024", f.threads)
	case f.page < 1 || f.page > maxPage:
		return o, fmt.Errorf("--page %d: want 1 to %d entries", f.page, maxPage)
	case !slices.Contains(report.Formats(), f.format):
		return o, fmt.Errorf("--format %q: want one of %s", f.format, strings.Join(report.Formats(), ", "))
	case !slices.Contains([]string{"auto", "on", "off"}, f.progress):
		return o, fmt.Errorf("--progress %q: want auto, on or off", f.progress)
	}
	var err error
	if o.MaxMemory, err = parseMemory(f.maxMemory, sim.ThisMachine().Memory); err != nil {
		return o, err
	}
	if f.lengths != "" {
		if o.Lengths, err = parseLengths(f.lengths); err != nil {
			return o, err
		}
	}
	if f.shard != "" {
		if o.Shard, err = parseShard(f.shard); err != nil {
			return o, err
		}
	}
	if f.layers != "" {
		if o.Layers, err = parseLayers(f.layers); err != nil {
			return o, err
		}
	}
	if f.atBytes != "" {
		if o.AtBytes, err = parseTarget(f.atBytes); err != nil {
			return o, err
		}
	}
	budgets, err := parseBudgets(f.budget)
	if err != nil {
		return o, err
	}
	if o.Pipelines, err = method.Parse(f.methods, budgets); err != nil {
		return o, fmt.Errorf("--methods: %w", err)
	}
	longest := 0
	if o.Lengths != nil {
		longest = slices.Max(o.Lengths)
	}
	for _, name := range unique(f.traces) {
		t, err := trace.Open(name, trace.Options{Seed: f.seed, Tokens: longest})
		if err != nil {
			closeAll(o.Traces)
			return o, fmt.Errorf("--trace: %w", err)
		}
		o.Traces = append(o.Traces, t)
	}
	if o.Externals, err = openExternals(f.externals, o.Traces); err != nil {
		closeAll(o.Traces)
		return o, err
	}
	if o.Calibrate, err = f.calibrations(o.Traces); err != nil {
		closeAll(o.Traces)
		closeExternals(o.Externals)
	}
	return o, err
}

// calibrations opens the text that maps are fitted on for each trace: the one that --calibrate names, or
// else the trace's own companion.
func (f *runFlags) calibrations(ts []*trace.Trace) (map[*trace.Trace]*trace.Trace, error) {
	on := map[*trace.Trace]*trace.Trace{}
	if f.calibrate != "" {
		c, err := trace.Open(f.calibrate, trace.Options{Seed: f.seed})
		if err != nil {
			return nil, fmt.Errorf("--calibrate: %w", err)
		}
		var why error
		for _, t := range ts {
			if err := sim.Calibrates(c, t); err == nil {
				on[t] = c
			} else {
				why = err
			}
		}
		if len(on) == 0 {
			_ = c.Close()
			return nil, fmt.Errorf("--calibrate: it fits none of the traces: %w", why)
		}
	}
	for i, t := range ts {
		name, ok := trace.Companion(unique(f.traces)[i])
		if !ok || on[t] != nil {
			continue
		}
		c, err := trace.Open(name, trace.Options{Seed: f.seed})
		if err != nil {
			return nil, err
		}
		on[t] = c
	}
	return on, nil
}

// closeAll closes traces that were only read.
func closeAll(ts []*trace.Trace) {
	for _, t := range ts {
		_ = t.Close()
	}
}
