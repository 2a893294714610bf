package cmd

import (
	"fmt"
	"math"
	"slices"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kvgauge/report"
	"kvgauge/sim"
	"kvgauge/sim/arch"
	"kvgauge/sim/engine"
	"kvgauge/sim/method"
	"kvgauge/sim/record"
)

// planFlags are the flags of plan as given.
type planFlags struct {
	model, lengths, budget, engine, dtype, memory, weights, records, format, plot string
	methods                                                                       []string
	batch, ranks, inFlight                                                        int
	fullWindows, explain                                                          bool
}

func newPlanCmd(s *system) *cobra.Command {
	f := &planFlags{}
	c := &cobra.Command{
		Use:   "plan",
		Short: "Say what a model's cache takes, as engines hold it, and what fits into a memory",
		Long: `Plan needs no trace and measures nothing: from a model's configuration alone it says what the caches of
methods take after prompts of some lengths, and beside --memory how long a context and how many sequences
fit. The configuration is one in Hugging Face's form (a .json file or a folder with config.json), the header
of a GGUF file, or a preset (kvgauge list models).

The engine ideal wastes nothing: a layer with a window or chunks holds so many rows, latents are held once for
all heads, states as the family stores them. It is what kvgauge run measures, for every pipeline whose size
follows from its parameters; --records takes the shares of others from a run. transformers, vllm and llama.cpp
are what these reserve, for the full cache and the formats that they serve. What is not modelled is a dash, with
the reason.

Bytes are of one sequence and, with --tp, of one rank. Maps that methods fit count as weights.`,
		Example: `  kvgauge plan --model llama-3-8b --memory 80GiB
  kvgauge plan --model ./config.json --lengths 8k,128k --methods full,fp8,kivi,snapkv --budget 25%
  kvgauge plan --model llama-3.1-70b --engine vllm --tp 4 --memory 80GiB --plot llama.png
  kvgauge plan --model model.gguf --engine llama.cpp --methods full,q8_0,q4_0 --batch 4 --format json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkEngineFlags(c.Flags(), f.engine); err != nil {
				return err
			}
			return runPlan(s, f)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.model, "model", "", "configuration, its folder, GGUF `file` or preset")
	fl.StringVar(&f.lengths, "lengths", "4k..128k", "prompt `lengths`; 1k is 1024, 4k..128k doubles up to its end, which counts")
	fl.StringArrayVar(&f.methods, "methods", nil, "`pipelines` or sets, comma-separated and repeatable (default full and some others; of another engine than ideal, the formats that it serves)")
	fl.StringVar(&f.budget, "budget", "25%", "default `budgets` of methods that name none")
	fl.IntVar(&f.batch, "batch", 1, "`sequences` held at once")
	enumFlag(c, &f.engine, "engine", sim.Ideal, append([]string{sim.Ideal}, engine.Names()...), "whose cache: ")
	enumFlag(c, &f.dtype, "dtype", ownType, append([]string{ownType}, dtypeNames()...), "type of keys and values that no format stores: ")
	fl.IntVar(&f.ranks, "tp", 1, "`ranks` of tensor parallelism, each with its part of the heads")
	fl.StringVar(&f.memory, "memory", "", "`size` of a rank's device, such as 80GiB: says what fits")
	fl.StringVar(&f.weights, "weights", "", "`size` of the model's weights, all ranks together (default counted from the configuration)")
	fl.StringVar(&f.records, "records", "", "ideal: `folder` of a run whose shares stand for methods whose size depends on the content")
	fl.BoolVar(&f.fullWindows, "full-windows", false, "llama.cpp: layers with a window in full length (swa_full), as the library does unless its programs tell it otherwise")
	fl.IntVar(&f.inFlight, "in-flight", engine.InFlight, "vllm: `tokens` of steps under way (max_num_batched_tokens times the batches at once) that layers with a window have room for")
	fl.BoolVar(&f.explain, "explain", false, "say first which tensors the layers cache")
	fl.StringVar(&f.plot, "plot", "", "draw bytes against length into this `file` as well; its name ends with .png or .svg")
	enumFlag(c, &f.format, "format", "table", report.CapacityFormats(), "")
	for name, complete := range map[string]cobra.CompletionFunc{"model": completeModels, "methods": completeMethods} {
		_ = c.RegisterFlagCompletionFunc(name, complete)
	}
	return c
}

// engineFlags are the flags that decide something of one engine alone.
var engineFlags = []struct{ flag, engine string }{
	{"full-windows", "llama.cpp"},
	{"in-flight", "vllm"},
	{"records", sim.Ideal},
}

// checkEngineFlags refuses flags of another engine than the one that is asked for.
func checkEngineFlags(flags *pflag.FlagSet, name string) error {
	for _, of := range engineFlags {
		if flags.Changed(of.flag) && name != of.engine {
			return lacks(of.flag, fmt.Sprintf("%sengine %s has no such thing: want %sengine %s, or no such flag", record.Opt, name, record.Opt, of.engine))
		}
	}
	return nil
}

// ownType stands for the type that a configuration names.
const ownType = "model"

func dtypeNames() (names []string) {
	for _, d := range method.DTypes() {
		names = append(names, d.Name)
	}
	return names
}

// completeModels offers presets beside files.
func completeModels(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var out []string
	for _, p := range arch.Presets() {
		out = append(out, p.Name+"\t"+p.Source)
	}
	return out, cobra.ShellCompDirectiveDefault
}

// runPlan reads the model, plans and prints.
func runPlan(s *system, f *planFlags) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	if err := checkPlot(&f.plot, f.model); err != nil {
		return err
	}
	lines, err := sim.Capacities(o)
	if err != nil {
		return err
	}
	if f.plot != "" {
		if err := report.WriteCapacityPlot(f.plot, lines); err != nil {
			return err
		}
	}
	if f.explain {
		if err := report.WriteModelLayers(s.out, o.Name, o.Model); err != nil {
			return err
		}
	}
	return report.WriteCapacities(s.out, lines, s.reportOptions(f.format, report.View{}))
}

// options reads the flags and what they name.
func (f *planFlags) options() (o sim.CapacityOptions, err error) {
	if f.model == "" {
		return o, lacks("model", "want a configuration, its folder, a GGUF file or a preset (see kvgauge list models)")
	}
	if f.explain && f.format != "table" {
		return o, wrong("explain", f.format, "it stands before a table: want no other format")
	}
	if o.Lengths, err = parseLengths(f.lengths); err != nil {
		return o, err
	}
	if longest := slices.Max(o.Lengths); longest > maxPlanned {
		return o, wrong("lengths", longest, "want at most %d tokens", maxPlanned)
	}
	budgets, err := parseBudgets(f.budget)
	if err != nil {
		return o, err
	}
	if o.Pipelines, err = method.Parse(f.pipelines(), budgets); err != nil {
		return o, record.InOption("methods", err)
	}
	for _, n := range []struct {
		flag  string
		value int
	}{{"batch", f.batch}, {"tp", f.ranks}, {"in-flight", f.inFlight}} {
		if n.value < 1 || n.value > maxCount {
			return o, wrong(n.flag, n.value, "want a number from 1 to %d", maxCount)
		}
	}
	o.Engine, o.Batch, o.Ranks, o.FullWindows, o.InFlight = f.engine, f.batch, f.ranks, f.fullWindows, f.inFlight
	if o.Memory, err = parseSize("memory", f.memory); err != nil {
		return o, err
	}
	if o.Weights, err = parseSize("weights", f.weights); err != nil {
		return o, err
	}
	if f.weights != "" && f.memory == "" {
		return o, lacks("memory", "--weights says what lies beside the cache in it: want both")
	}
	m, err := sim.OpenModel(f.model)
	if err != nil {
		return o, record.InOption("model", err)
	}
	o.Model, o.Name = m.Model, m.Name
	var assumed string
	o.DType, assumed = f.cacheType(m)
	if o.Memory > 0 && o.Weights == 0 {
		if o.Weights, err = m.WeightBytes(); err != nil {
			return o, lacks("weights", fmt.Sprintf("want the size of the model's weights beside --memory: %v", err))
		}
		if m.Weights == 0 {
			_, assumed = m.CacheType() // of the weights, whatever the cache's is
		}
	}
	o.Note = sim.JoinNotes(m.Note, assumed)
	if f.records != "" {
		if o.Records, err = record.Load(f.records); err != nil {
			return o, record.InOption("records", err)
		}
	}
	return o, nil
}

// cacheType is the type of keys and values that no format stores, and what of it is assumed.
func (f *planFlags) cacheType(m sim.ModelFile) (d method.DType, assumed string) {
	for _, d := range method.DTypes() {
		if d.Name == f.dtype {
			return d, ""
		}
	}
	if e, ok := engine.Lookup(f.engine); ok && e.OwnType != "" {
		return method.DTypeOf(e.OwnType), ""
	}
	return m.CacheType()
}

// pipelines are those asked for, or those that the engine serves.
func (f *planFlags) pipelines() []string {
	if len(f.methods) > 0 {
		return f.methods
	}
	e, ok := engine.Lookup(f.engine)
	if !ok {
		return []string{"full,fp8,q8_0,q4_0,kivi,snapkv,streamingllm"}
	}
	return append([]string{"full"}, method.CodeOf(e.Repository)...)
}

const (
	maxPlanned = 1 << 30 // tokens of a length
	maxCount   = 1 << 20 // of sequences, ranks and tokens in flight
)

// parseSize reads a size such as 80GiB; nothing is none.
func parseSize(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > math.MaxInt64>>8 {
		return 0, wrong(flag, text, "want a size such as 80GiB")
	}
	return int64(n), nil
}
