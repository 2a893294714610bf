package cmd

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"kvgauge/report"
	"kvgauge/sim"
	"kvgauge/sim/arch"
	"kvgauge/sim/engine"
	"kvgauge/sim/method"
	"kvgauge/sim/offer"
	"kvgauge/sim/record"
)

// recommendFlags are the flags of recommend as given.
type recommendFlags struct {
	maxError, maxBytes, engine, model, length, format string
}

// anyEngine asks for no engine.
const anyEngine = "any"

// fullPipeline is the pipeline that reduces nothing.
const fullPipeline = "full"

// defaultOut is where run writes to.
const defaultOut = "kvgauge-out"

func newRecommendCmd(s *system) *cobra.Command {
	f := &recommendFlags{}
	c := &cobra.Command{
		Use:   "recommend [DIR...]",
		Short: "Choose one pipeline from the records of runs, and say how to switch it on",
		Long: `Recommend reads the records of finished runs, given as folders or records.jsonl files, and names one pipeline:
the smallest cache within --max-error, or the least error within --max-bytes; with both, the smallest that keeps
to both. Each trace counts at its longest length, and the worst of the traces decides. Bounds are no methods and
are never recommended; families that change the architecture are left out, as the model would have to be trained
for them.

It says what the runner-up is, what would change the choice (other bounds, lengths, engines), what the figures
leave open, what the cache takes on a model, and how engines switch it on: from a list of what was read in named
versions of them. Where an engine has its own form of a method, it says what differs. With --engine, only
pipelines that this engine offers are chosen from.`,
		Example: `  kvgauge run --methods all && kvgauge recommend
  kvgauge recommend --max-error 10% --engine llama.cpp
  kvgauge recommend results --max-bytes 30% --model llama-3.1-8b --length 32k --engine vllm --format markdown`,
		RunE: func(_ *cobra.Command, args []string) error { return runRecommend(s, args, f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.maxError, "max-error", "", "most error that is acceptable, a `share` (default 5%, or no bound with --max-bytes)")
	fl.StringVar(&f.maxBytes, "max-bytes", "", "most bytes, a `share` of the full cache")
	enumFlag(c, &f.engine, "engine", anyEngine, append([]string{anyEngine}, offer.Names()...), "that is to offer the pipeline: ")
	fl.StringVar(&f.model, "model", "", "configuration, its folder, GGUF `file` or preset (kvgauge list models): says what the cache takes there")
	_ = c.RegisterFlagCompletionFunc("model", completeModels)
	fl.StringVar(&f.length, "length", "", "`tokens` of the prompts to come, for bytes and for sizes in lines of code (default: the longest measured)")
	enumFlag(c, &f.format, "format", "text", report.RecommendationFormats(), "")
	return c
}

// runRecommend chooses and prints.
func runRecommend(s *system, paths []string, f *recommendFlags) error {
	ask, err := f.ask()
	if err != nil {
		return err
	}
	var m *sim.ModelFile
	if f.model != "" {
		opened, err := sim.OpenModel(f.model)
		if err != nil {
			return record.InOption("model", err)
		}
		m, ask.Model = &opened, opened.Name
		ask.Latent = slices.ContainsFunc(opened.Layers, func(l arch.Layer) bool { return l.Rank > 0 })
	}
	records, err := loadFinished(paths)
	if err != nil {
		return err
	}
	r, err := report.Recommend(records, ask)
	if err != nil {
		return err
	}
	if m != nil {
		for _, o := range []*report.Option{r.Choice, r.RunnerUp, r.Nearest} {
			if o != nil {
				o.Model = append(o.Model, onModel(*m, o, r.Ask, records))
			}
		}
	}
	return report.WriteRecommendation(s.out, r, f.format)
}

// ask reads the flags.
func (f *recommendFlags) ask() (a report.Ask, err error) {
	if f.maxError == "" && f.maxBytes == "" {
		f.maxError = "5%"
	}
	if a.MaxError, err = parseBound("max-error", f.maxError); err != nil {
		return a, err
	}
	if a.MaxBytes, err = parseBound("max-bytes", f.maxBytes); err != nil {
		return a, err
	}
	if f.engine != anyEngine {
		a.Engine = f.engine
	}
	if f.length != "" {
		n, err := method.ParseCount(f.length)
		if err != nil || n < 1 {
			return a, wrong("length", f.length, "want a positive number of tokens, such as 512 or 32k")
		}
		a.Tokens = n
	}
	return a, nil
}

// parseBound reads a share, nil of none.
func parseBound(flag, text string) (*float64, error) {
	if text == "" {
		return nil, nil
	}
	p, err := parseGrowth(flag, text)
	return &p, err
}

// loadFinished reads the records of runs, of the folder that run writes to where none is named.
func loadFinished(paths []string) (all []record.Record, err error) {
	if len(paths) == 0 {
		paths = []string{defaultOut}
	}
	at := map[record.Key]string{}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			switch m, err := record.ReadManifest(path); {
			case err != nil:
				return nil, err
			case m.Finished == nil:
				return nil, record.Input(fmt.Errorf("%s: the run in it is not finished: want one that is", path))
			}
		} else if errors.Is(err, os.ErrNotExist) && path == defaultOut {
			return nil, record.Input(fmt.Errorf("%s: no such folder: want that of a run (kvgauge run, or name it)", path))
		}
		records, err := record.Load(path)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			if first, twice := at[r.Key()]; twice {
				return nil, record.Input(fmt.Errorf("%s: %s is in %s, too: want each cell once", path, r.Cell(), first))
			}
			at[r.Key()] = path
		}
		all = append(all, records...)
	}
	return all, nil
}

// onModel is what an option's cache takes on a model: as the engine that was asked for holds it, where that is modelled, and
// else as run counts it.
func onModel(m sim.ModelFile, o *report.Option, ask report.Ask, records []record.Record) report.OnModel {
	if e, ok := engine.Lookup(ask.Engine); ok {
		if b := bytesOn(m, o, ask, records, e.Name); b.CacheBytes != nil {
			return b
		}
	}
	return bytesOn(m, o, ask, records, sim.Ideal)
}

// bytesOn is what the cache takes as one engine holds it.
func bytesOn(m sim.ModelFile, o *report.Option, ask report.Ask, records []record.Record, name string) report.OnModel {
	b := report.OnModel{Model: m.Name, Engine: name, SeqLen: ask.Tokens}
	spec := o.Pipeline
	if o.SizedTo != nil {
		spec = fullPipeline // whose share it is
	}
	pipelines, err := method.Parse([]string{fullPipeline + "," + spec}, []method.Entries{{Percent: 100}})
	if err != nil {
		b.Reason = err.Error()
		return b
	}
	lines, err := sim.Capacities(sim.CapacityOptions{
		Model: m.Model, Name: m.Name, Engine: name, DType: method.DTypeOf(m.DType), Lengths: []int{ask.Tokens}, Pipelines: pipelines,
		Batch: 1, Ranks: 1, Records: records,
	})
	if err != nil {
		b.Reason = err.Error()
		return b
	}
	last := lines[len(lines)-1]
	b.CacheBytes, b.FullBytes, b.Reason, b.Note = last.CacheBytes, last.FullBytes, last.Reason, last.Note
	if name != sim.Ideal {
		b.Engine += " " + last.EngineVersion
	}
	if o.SizedTo != nil && b.CacheBytes != nil {
		sized := int64(math.Round(*o.SizedTo * float64(*b.CacheBytes)))
		b.CacheBytes, b.Note = &sized, "the share that it was sized to"
	}
	return b
}
