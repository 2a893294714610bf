package report

import (
	"fmt"
	"slices"
	"strings"

	"kvgauge/sim/offer"
	"kvgauge/sim/record"
)

// Ask is what a recommendation has to keep to.
type Ask struct {
	MaxError *float64 `json:"max_error"` // of rel_l2, on every trace; null: no bound
	MaxBytes *float64 `json:"max_bytes"` // share of the full cache, on every trace; null: no bound
	Engine   string   `json:"engine"`    // that is to offer the pipeline; empty: any, or none
	Tokens   int      `json:"tokens"`    // of the prompts to come; 0: as many as the longest that was measured
	Model    string   `json:"model"`     // that is to be served; empty: those that were measured
	Latent   bool     `json:"latent"`    // it caches latents
}

// Recommendation is one choice for what was asked, and what it rests on. What was not measured is null.
type Recommendation struct {
	Ask      Ask           `json:"asked"`
	Traces   []Measured    `json:"traces"`
	Choice   *Option       `json:"choice"`    // null: nothing but full keeps to the bounds
	RunnerUp *Option       `json:"runner_up"` // the best pipeline of other methods; null: there is none
	Nearest  *Option       `json:"nearest"`   // where there is no choice: what comes nearest to the bounds
	Of       int           `json:"of"`        // pipelines that it was chosen from, bounds on bytes and error apart
	Changes  []Alternative `json:"changes"`   // what would change the choice
	Doubts   []string      `json:"doubts"`    // what the figures leave open
	LeftOut  []LeftOut     `json:"left_out"`
}

// Measured is a trace at the longest length that it was measured at.
type Measured struct {
	Trace   string `json:"trace"`
	Model   string `json:"model"`
	SeqLen  int    `json:"seq_len"`
	Windows int    `json:"windows"`
}

// Option is a pipeline over all traces.
type Option struct {
	Pipeline string   `json:"pipeline"` // without the size that an equal-bytes run set
	SizedTo  *float64 `json:"sized_to"` // share of the full cache that such a run set it to
	Family   string   `json:"family"`
	OfFull   float64  `json:"of_full"` // largest over the traces
	Error    float64  `json:"rel_l2"`  // largest over the traces
	Recall   *float64 `json:"recall"`  // least over the traces that have needles
	Ratio    *float64 `json:"ratio_to_full"`

	Cells    []Cell         `json:"cells"`   // a trace each
	Skipped  []Skip         `json:"skipped"` // the traces that it does not apply to
	Engines  []offer.Switch `json:"engines"`
	NoEngine string         `json:"no_engine"` // why there is none, else empty
	Model    []OnModel      `json:"model"`

	records []record.Record // those of Cells
	at      []int           // which trace each is of
}

// Skip is a trace that an option does not apply to.
type Skip struct {
	Trace  string `json:"trace"`
	Reason string `json:"reason"`
}

// Cell is what one trace says of an option.
type Cell struct {
	Trace      string   `json:"trace"`
	SeqLen     int      `json:"seq_len"`
	Pipeline   string   `json:"pipeline"` // as its record has it
	CacheBytes int64    `json:"cache_bytes"`
	OfFull     float64  `json:"of_full"`
	Error      float64  `json:"rel_l2"`
	ErrorLo    *float64 `json:"rel_l2_lo"`
	ErrorHi    *float64 `json:"rel_l2_hi"`
}

// OnModel is what an option's cache takes on a model.
type OnModel struct {
	Model      string `json:"model"`
	Engine     string `json:"engine"` // whose bytes they are
	SeqLen     int    `json:"seq_len"`
	CacheBytes *int64 `json:"cache_bytes"` // of one sequence
	FullBytes  *int64 `json:"full_bytes"`
	Reason     string `json:"reason"` // why bytes are null, else empty
	Note       string `json:"note"`   // what they rest on besides
}

// Alternative is a condition under which the choice would be another.
type Alternative struct {
	Kind     string   `json:"kind"`     // max_error, max_bytes, traces, engine, length
	When     string   `json:"when"`     // in words
	Value    *float64 `json:"value"`    // the bound, or the length, from which on it holds
	Pipeline string   `json:"pipeline"` // empty: nothing but full
	OfFull   *float64 `json:"of_full"`
	Error    *float64 `json:"rel_l2"`
	Recall   *float64 `json:"recall"`
}

// LeftOut are pipelines that were not to be chosen from.
type LeftOut struct {
	Reason    string   `json:"reason"`
	Pipelines []string `json:"pipelines"`
}

// Recommend chooses from records. With a bound on the error it takes the smallest cache that keeps to all bounds, and else
// the least error. Each trace counts at its longest length, and the worst of the traces decides. It fails where records do
// not belong together.
func Recommend(records []record.Record, ask Ask) (*Recommendation, error) {
	all, err := grounds(records)
	if err != nil {
		return nil, err
	}
	longest := all.longest()
	r := &Recommendation{Ask: ask, Changes: []Alternative{}, Doubts: []string{}, LeftOut: []LeftOut{}}
	for _, s := range longest {
		first := s.records[0]
		r.Traces = append(r.Traces, Measured{first.Trace, first.Model, first.SeqLen, first.Windows})
		if ask.Tokens == 0 {
			r.Ask.Tokens = max(r.Ask.Tokens, first.SeqLen)
		}
	}
	if !slices.ContainsFunc(longest, func(s section) bool {
		return slices.ContainsFunc(s.records, func(r record.Record) bool { return r.Error != nil })
	}) {
		return nil, record.Input(fmt.Errorf("no error was measured at the longest length of any trace: want a run of pipelines that apply"))
	}
	options, left := options(longest, r.Ask)
	r.LeftOut, r.Of = append(r.LeftOut, left...), len(options)
	if r.Choice = choose(options, ask); r.Choice != nil {
		r.RunnerUp = choose(slices.DeleteFunc(slices.Clone(options), func(o *Option) bool { return o.methods() == r.Choice.methods() }), ask)
	} else {
		r.Nearest = nearestOption(options, ask)
	}
	r.Changes = append(r.Changes, r.bounds(options)...)
	r.Changes = append(r.Changes, r.everywhere(options)...)
	r.Changes = append(r.Changes, r.offered(longest)...)
	r.Changes = append(r.Changes, r.lengths(all)...)
	r.Doubts = append(append(r.Doubts, r.unmeasured(longest)...), r.doubts(all)...)
	return r, nil
}

// methods are the names of an option's methods, without their parameters.
func (o *Option) methods() string {
	var names []string
	for _, s := range record.ParsePipeline(o.Pipeline) {
		names = append(names, s.Method)
	}
	return strings.Join(names, "+")
}

// name is the pipeline, and the size that an equal-bytes run set it to.
func (o *Option) name() string {
	if o.SizedTo == nil {
		return oneLine(o.Pipeline)
	}
	return fmt.Sprintf("%s sized to %s", oneLine(o.Pipeline), percentText(*o.SizedTo))
}
