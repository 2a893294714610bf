package cmd

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"kvgauge/report"
	"kvgauge/sim"
	"kvgauge/sim/arch"
	"kvgauge/sim/offer"
	"kvgauge/sim/record"
)

// recommendFlags are the flags of recommend as given.
type recommendFlags struct {
	maxError, maxBytes, engine, model, length, format string
}

// anyEngine asks for no engine.
const anyEngine = "any"

// defaultOut is where run writes to.
const defaultOut = "kvgauge-out"

func newRecommendCmd(s *system) *cobra.Command {
	f := &recommendFlags{}
	c := &cobra.Command{
		Use:   "recommend [DIR...]",
		Short: "Choose one pipeline from the records of runs, and say how to switch it on",
		Long: `Recommend reads the records of finished runs, given as folders or records.jsonl files, and names one pipeline:
the smallest cache within --max-error, or the least error within --max-bytes; with both, the smallest that keeps
to both. Each trace counts at its longest length, and the worst of the traces decides; a pipeline that does not
apply to a trace counts on the others. Bounds are no methods and are never recommended; families that change the
architecture are left out, as the model would have to be trained for them.

It says what the runner-up is, what would change the choice (other bounds, lengths, engines), what the figures
leave open, what the cache takes on a model, and how engines switch it on: from a list of what was read in named
versions of them. Where an engine has its own form of a method, it says what differs. With --engine, only
pipelines that this engine offers are chosen from.`,
		Example: `  kvgauge run --methods all --out results && kvgauge recommend results
  kvgauge recommend results --max-error 10% --engine llama.cpp
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
	var m sim.ModelFile
	if f.model != "" {
		if m, err = sim.OpenModel(f.model); err != nil {
			return record.InOption("model", err)
		}
		ask.Model, ask.Latent = m.Name, slices.ContainsFunc(m.Layers, func(l arch.Layer) bool { return l.Rank > 0 })
	}
	records, err := loadFinished(paths)
	if err != nil {
		return err
	}
	r, err := report.Recommend(records, ask)
	if err != nil {
		return err
	}
	for _, o := range []*report.Option{r.Choice, r.RunnerUp, r.Nearest} {
		if o != nil && f.model != "" {
			o.Model = append(o.Model, onModel(m, o, r.Ask, records))
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
		if a.Tokens, err = parseTokenCount("length", f.length, maxPlanned, "512 or 32k"); err != nil {
			return a, err
		}
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
