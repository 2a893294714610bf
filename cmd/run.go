package cmd

import (
	"runtime"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kvgauge/report"
	"kvgauge/sim"
	"kvgauge/sim/method"
	"kvgauge/sim/record"
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
	decode    *int
	repeats   *int
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
	plots     plotFlags
	progress  string
	force     bool
	view      report.View
}

func newRunCmd(s *system) *cobra.Command {
	c, _ := newRunFlags(s)
	return c
}

// newRunFlags makes the command with the flags that it reads.
func newRunFlags(s *system) (*cobra.Command, *runFlags) {
	f := &runFlags{}
	c := &cobra.Command{
		Use:   "run",
		Short: "Measure pipelines of methods on traces: records, tables and plots",
		Long: `Run replays each trace through each pipeline at each sequence length and measures cache bytes,
latency and attention-output error against float64 attention over the whole cache. A verdict and the first
rows of each trace's longest length go to stdout; records.jsonl, run.json, the summaries, with all lengths and
rows, and the plots go to --out.

A pipeline is one or more methods joined by +, applied left to right, with parameters after a colon:
gqa:heads=2+snapkv:budget=128,window=16. kvgauge list methods shows what there is; the names of sets
(default, seed, all, or a family such as eviction) stand for several pipelines. In the set default a budget that is
a share is one of bytes: 25% sets each such method to a quarter of the full cache's.

With --at-bytes every pipeline gets a cache of the same size: its knob (entries, rank, heads, bits; one that
the pipeline names itself stays) is set to the largest cache that is not above it, and the table ranks the
errors. --windows averages the error over several prefixes, with an interval. --external adds a result that
was made elsewhere: kept positions or reconstructed rows, in a safetensors file for each length, and each window.`,
		Example: `  # the methods that answer most questions on the built-in traces, 128 tokens to the whole trace
  kvgauge run

  # one method over budgets, on one trace at one length
  kvgauge run --trace smollm2 --lengths 1k --methods full,snapkv --budget 2.5%,12%,25%,50% --out budgets

  # a quarter of the bytes for every method: whose error is least, over four prefixes
  kvgauge run --trace smollm2 --lengths 1k --methods all --at-bytes 25% --windows 4 --out quarter

  # somebody else's result beside one's own
  kvgauge run --trace smollm2 --lengths 1k --methods snapkv,oracle,random --external theirs=theirs.safetensors --out beside

  # your own trace, JSON on stdout
  kvgauge run --trace llama.safetensors --methods eviction --format json --out results

  # go on after a kill; a quarter of the cells; an array job of 8 tasks and one that merges them
  kvgauge run --resume
  kvgauge run --shard 0/4 --out part0
  kvgauge run --shard 0/8 --out swept --print slurm | sh`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkView(c.Flags(), f.view); err != nil {
				return err
			}
			if f.print != "" {
				return printJob(s, f, c.Flags())
			}
			f, flags, err := f.resumed(s, c.Flags())
			if err != nil {
				return err
			}
			return runRun(c.Context(), s, f, manifestOf(s, flags))
		},
	}
	fl := c.Flags()
	fl.StringArrayVar(&f.methods, "methods", []string{method.DefaultSet}, "`pipelines` or set names, comma-separated; repeatable")
	fl.StringVar(&f.lengths, "lengths", "", "sequence `lengths`, such as 512,4k or 512..8k, which doubles up to its end (default powers of two from 128, and the whole trace)")
	fl.StringVar(&f.budget, "budget", "25%", "default `budgets` of methods that name none: counts or shares of the sequence")
	fl.StringVar(&f.atBytes, "at-bytes", "", "set every pipeline's cache to this `size`: a share of full (25%) or bytes (64MiB)")
	fl.IntVar(&f.windows, "windows", 1, "`prefixes` whose errors a cell averages: they end at its length, and each a decode earlier, down to half")
	fl.StringArrayVar(&f.externals, "external", nil, "`name=file.safetensors` of a result made elsewhere; repeatable, for further lengths under the same name")
	fl.Var(optionalCount{optionalInt{&f.decode}}, "decode", "decoded `tokens` per cell (default an eighth of the sequence, within 16..64)")
	fl.Var(optionalInt{&f.repeats}, "repeats", "latency `samples` per cell (default 6 to 50: until the ratio to full is known within 3 %, or 250 ms have passed)")
	fl.Uint64Var(&f.seed, "seed", 1, "`seed` of everything random")
	fl.StringVar(&f.layers, "layers", "", "layer `subset`, such as 0,4..7 (default all)")
	fl.IntVar(&f.page, "page", 16, "block size in `entries` for paged_bytes")
	fl.BoolVar(&f.kept, "kept", false, "store kept positions in the records")
	fl.BoolVar(&f.noLatency, "no-latency", false, "skip the latency measurement")
	annotate(fl, inManifest, inJobs)
	fl.StringArrayVar(&f.traces, "trace", []string{"smollm2", "bytelm", "synth"}, "trace `file`, directory or built-in name, or some, comma-separated; repeatable")
	fl.StringVar(&f.calibrate, "calibrate", "", "`trace` of the same model and shape to fit linear maps on (built-in traces bring their own)")
	annotate(fl, inJobs) // the manifest has their hashes
	fl.StringVar(&f.maxMemory, "max-memory", "80%", "skip cells that need more memory: a `size` or a share of this machine's")
	annotate(fl, inManifest) // jobs set their own
	fl.IntVar(&f.threads, "threads", runtime.GOMAXPROCS(0), "`number` of goroutines that compute")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print the cells with the memory and time that half a second of trials tells")
	fl.StringVar(&f.shard, "shard", "", "measure part `i/n` of the cells only, i from 0; kvgauge merge joins the parts")
	fl.BoolVar(&f.resume, "resume", false, "go on with the run that was cut short in --out; alone it takes the arguments from its run.json, beside arguments it begins one where there is none")
	fl.StringVar(&f.out, "out", defaultOut, "output `directory`")
	f.plots.declare(c)
	enumFlag(c, &f.print, "print", "", engines(), "print a job of n parts (--shard 0/n, default 4), measure nothing: ")
	enumFlag(c, &f.format, "format", "table", report.Formats(), "what stdout shows: ")
	fl.BoolVar(&f.force, "force", false, "drop the run that --out holds, whatever it was asked for")
	viewFlags(c, &f.view)
	enumFlag(c, &f.progress, "progress", "auto", []string{"auto", "on", "off"}, "progress on stderr: ")
	c.MarkFlagsMutuallyExclusive("at-bytes", "budget") // it sets the budgets itself
	c.MarkFlagsMutuallyExclusive("resume", "force")
	_ = c.RegisterFlagCompletionFunc("methods", completeMethods)
	_ = c.RegisterFlagCompletionFunc("budget", completeBudgets)
	_ = c.RegisterFlagCompletionFunc("trace", completeTraces)
	_ = c.RegisterFlagCompletionFunc("calibrate", completeTraces)
	return c, f
}

// What a flag decides, beside what its command does.
const (
	inManifest = "kvgauge_in_manifest" // records depend on it: a run goes on, and merges, with the same value only
	inJobs     = "kvgauge_in_jobs"     // the parts of a printed job are given it
)

// annotate says of the flags that were declared since it was last called what they decide.
func annotate(flags *pflag.FlagSet, decides ...string) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Annotations == nil {
			f.Annotations = map[string][]string{}
			for _, d := range decides {
				f.Annotations[d] = nil
			}
		}
	})
}

// decides says whether a flag decides something.
func decides(f *pflag.Flag, what string) bool {
	_, ok := f.Annotations[what]
	return ok
}

// options checks the flags and opens the traces of the run, with those that maps are fitted on; the caller closes them.
func (f *runFlags) options() (o sim.Options, in inputs, err error) {
	o = sim.Options{
		Decode: f.decode, Windows: f.windows, Seed: f.seed, Threads: f.threads, Page: f.page,
		Kept: f.kept, NoLatency: f.noLatency, Version: version(),
	}
	if f.repeats != nil {
		o.Repeats = *f.repeats
	}
	undecoded := f.decode != nil && *f.decode == 0
	switch {
	case undecoded && !f.kept:
		return o, in, wrong("decode", 0, "nothing is decoded, so it needs --kept")
	case f.repeats != nil && *f.repeats < 1:
		return o, in, wrong("repeats", *f.repeats, "want at least 1 sample (or --no-latency)")
	case f.windows < 1 || f.windows > 1 && undecoded:
		return o, in, wrong("windows", f.windows, "want 1 or more, and 1 with --decode 0")
	case f.threads < 1 || f.threads > 1024:
		return o, in, wrong("threads", f.threads, "want 1 to 1024")
	case f.page < 1 || f.page > maxPage:
		return o, in, wrong("page", f.page, "want 1 to %d entries", maxPage)
	}
	if o.MaxMemory, err = parseMemory(f.maxMemory, sim.ThisMachine().Memory); err != nil {
		return o, in, err
	}
	if f.lengths != "" {
		if o.Lengths, err = parseLengths(f.lengths); err != nil {
			return o, in, err
		}
	}
	if f.shard != "" {
		if o.Shard, err = parseShard(f.shard); err != nil {
			return o, in, err
		}
	}
	if f.layers != "" {
		if o.Layers, err = parseLayers(f.layers); err != nil {
			return o, in, err
		}
	}
	if f.atBytes != "" {
		if o.AtBytes, err = parseTarget(f.atBytes); err != nil {
			return o, in, err
		}
	}
	budgets, err := parseBudgets(f.budget)
	if err != nil {
		return o, in, err
	}
	if o.Pipelines, err = method.Parse(f.methods, budgets); err != nil {
		return o, in, record.InOption("methods", err)
	}
	longest := 0
	if o.Lengths != nil {
		longest = slices.Max(o.Lengths)
	}
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	names := unique(splitTraces(f.traces))
	for _, name := range names {
		t, err := trace.Open(name, trace.Options{Seed: f.seed, Tokens: longest})
		if err != nil {
			return o, in, record.InOption("trace", err)
		}
		in.traces = append(in.traces, t)
		o.Traces = append(o.Traces, &t.Header)
	}
	if err := in.differ(names); err != nil {
		return o, in, err
	}
	if err := in.openExternals(f.externals); err != nil {
		return o, in, err
	}
	o.Externals = in.externals
	o.Calibrate, err = in.calibrations(f, names, o.Traces)
	return o, in, err
}

// inputs are the files that a run reads.
type inputs struct {
	traces    []*trace.Trace
	externals []*sim.External
}

// close closes files that were only read.
func (in *inputs) close() {
	for _, t := range in.traces {
		_ = t.Close()
	}
	for _, x := range in.externals {
		_ = x.Close()
	}
}

// differ refuses a trace that is there twice under two names: its cells could not be told apart. Only traces of a model that
// hold as many tokens are read for it.
func (in *inputs) differ(names []string) error {
	for i, t := range in.traces {
		for j, other := range in.traces[:i] {
			if t.Model != other.Model || t.Tokens != other.Tokens {
				continue
			}
			a, err := t.Hash()
			if err != nil {
				return record.InOption("trace", err)
			}
			b, err := other.Hash()
			if err != nil {
				return record.InOption("trace", err)
			}
			if a == b {
				return wrong("trace", names[i], "it holds what %s does: give one of them", names[j])
			}
		}
	}
	return nil
}

// calibrations opens the text that maps are fitted on for each trace: the one that --calibrate names, or
// else the trace's own companion.
func (in *inputs) calibrations(f *runFlags, names []string, ts []*trace.Header) (map[*trace.Header]*trace.Header, error) {
	on := map[*trace.Header]*trace.Header{}
	if f.calibrate != "" {
		c, err := trace.Open(f.calibrate, trace.Options{Seed: f.seed})
		if err != nil {
			return nil, record.InOption("calibrate", err)
		}
		in.traces = append(in.traces, c)
		var why error
		for i, t := range ts {
			err := sim.Calibrates(c, in.traces[i])
			if err == nil {
				on[t] = &c.Header
				continue
			}
			why = err
		}
		if len(on) == 0 {
			return nil, lacks("calibrate", "it fits none of the traces: "+why.Error())
		}
	}
	for i, t := range ts {
		name, ok := trace.Companion(names[i])
		if !ok || on[t] != nil {
			continue
		}
		c, err := trace.Open(name, trace.Options{Seed: f.seed})
		if err != nil {
			return nil, err
		}
		in.traces = append(in.traces, c)
		on[t] = &c.Header
	}
	return on, nil
}
