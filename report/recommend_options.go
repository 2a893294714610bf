package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"kvgauge/sim/offer"
	"kvgauge/sim/record"
)

// ground is what was measured of one trace, by length.
type ground map[int]section

// measuredTraces are all traces, in the order of the records.
type measuredTraces []ground

// grounds groups records by trace and length. What was measured twice, with other settings, is refused: which of the two
// would count?
func grounds(records []record.Record) (measuredTraces, error) {
	records = namedByContent(records)
	var all measuredTraces
	at := map[string]int{}
	for _, s := range sections(records) {
		first := s.records[0]
		key := first.Trace + "\x00" + first.TraceSHA256
		i, ok := at[key]
		if !ok {
			i = len(all)
			at[key] = i
			all = append(all, ground{})
		}
		if other, twice := all[i][first.SeqLen]; twice {
			return nil, record.Input(fmt.Errorf("%s at %d tokens was measured twice, %s, and %s: want runs of the same settings",
				first.Trace, first.SeqLen, settings(other.records[0]), settings(first)))
		}
		all[i][first.SeqLen] = s
		seen := map[optionKey]bool{}
		for _, r := range s.records {
			if k := keyOfOption(r); seen[k] {
				return nil, record.Input(fmt.Errorf("%s stands twice: want each cell once", r.Cell()))
			} else {
				seen[k] = true
			}
		}
	}
	return all, nil
}

// namedByContent is records whose traces of one name have the start of their hashes in it.
func namedByContent(records []record.Record) []record.Record {
	first, twice := map[string]string{}, map[string]bool{}
	for _, r := range records {
		if hash, ok := first[r.Trace]; !ok {
			first[r.Trace] = r.TraceSHA256
		} else if hash != r.TraceSHA256 {
			twice[r.Trace] = true
		}
	}
	told := slices.Clone(records)
	for i, r := range told {
		if twice[r.Trace] {
			told[i].Trace += " " + r.TraceSHA256[:min(8, len(r.TraceSHA256))]
		}
	}
	return told
}

// settings are those that a section's records share, besides the trace and the length.
func settings(r record.Record) string {
	return fmt.Sprintf("of layers %s with decode %d, windows %d and seed %d", record.LayerList(r.Layers), r.Decode, r.Windows, r.Seed)
}

// longest is each trace at its longest length.
func (m measuredTraces) longest() (all []section) {
	for _, g := range m {
		all = append(all, g[slices.Max(g.lengths())])
	}
	return all
}

// lengths are those that a trace was measured at, ascending.
func (g ground) lengths() (ns []int) {
	for n := range g {
		ns = append(ns, n)
	}
	slices.Sort(ns)
	return ns
}

// optionKey is what the records of one pipeline share over traces and lengths: its name, less what an equal-bytes run set,
// and the share of the full cache that it was set to, in thousandths; -1 where it was not.
type optionKey struct {
	name    string
	sizedTo int
}

// keyOfOption is that of a record.
func keyOfOption(r record.Record) optionKey {
	if r.Knob == "" || r.TargetBytes == nil || r.CacheBytesFull == nil || *r.CacheBytesFull == 0 {
		return optionKey{r.Pipeline, -1}
	}
	method, param, _ := strings.Cut(r.Knob, ":")
	share := math.Round(1e3 * float64(*r.TargetBytes) / float64(*r.CacheBytesFull))
	return optionKey{record.ParsePipeline(r.Pipeline).Without(method, param).String(), int(min(share, math.MaxInt32))}
}

// share is the size that it was set to, nil of none.
func (k optionKey) share() *float64 {
	if k.sizedTo < 0 {
		return nil
	}
	share := float64(k.sizedTo) / 1e3
	return &share
}

// options are the pipelines that can be chosen from over some sections, each of another trace, and those that cannot. One that
// does not apply to a trace counts on the others.
func options(over []section, ask Ask) (all []*Option, left []LeftOut) {
	type found struct {
		records []record.Record // of each section where it applies
		at      []int           // which section each is of
		skipped []Skip
		why     string
	}
	var order []optionKey
	pipelines := map[optionKey]*found{}
	for i, s := range over {
		for _, r := range s.records {
			if isBaseline(r) {
				continue
			}
			key := keyOfOption(r)
			f, ok := pipelines[key]
			if !ok {
				f = &found{}
				pipelines[key] = f
				order = append(order, key)
			}
			if r.Status == record.Skipped && !isBound(r) {
				f.skipped = append(f.skipped, Skip{r.Trace, oneLine(r.Reason)})
				continue
			}
			f.records, f.at = append(f.records, r), append(f.at, i)
			f.why = cmp.Or(f.why, unfit(r))
		}
	}
	leave := func(why, name string) {
		i := slices.IndexFunc(left, func(l LeftOut) bool { return l.Reason == why })
		if i < 0 {
			i = len(left)
			left = append(left, LeftOut{Reason: why})
		}
		if !slices.Contains(left[i].Pipelines, name) {
			left[i].Pipelines = append(left[i].Pipelines, name)
		}
	}
	for _, key := range order {
		f := pipelines[key]
		switch {
		case f.why != "":
		case len(f.records) == 0:
			f.why = "skipped: " + f.skipped[0].Reason
		case len(f.records)+len(f.skipped) < len(over):
			f.why = "not measured on every trace"
		}
		if f.why != "" {
			leave(f.why, key.name)
			continue
		}
		o := newOption(key, f.records, ask)
		o.at, o.Skipped = f.at, append(o.Skipped, f.skipped...)
		if ask.Engine != "" && !slices.ContainsFunc(o.Engines, func(s offer.Switch) bool { return s.Engine == ask.Engine }) {
			leave("not offered by "+offer.Title(ask.Engine), o.name())
			continue
		}
		all = append(all, o)
	}
	return all, left
}

// unfit says why a record's pipeline is not to be chosen, or nothing.
func unfit(r record.Record) string {
	switch {
	case isBound(r):
		return "bounds, which are no methods"
	case r.Status != record.OK:
		return oneLine(fmt.Sprintf("%s on %s: %s", r.Status, r.Trace, r.Reason))
	case r.Error == nil:
		return "its error was not measured"
	case isRetrained(r):
		return "changes the architecture: the model has to be trained for it"
	case !smaller(r):
		return "holds no less than full"
	}
	return ""
}

// newOption makes an option of its records, one a trace.
func newOption(key optionKey, records []record.Record, ask Ask) *Option {
	o := &Option{Pipeline: key.name, SizedTo: key.share(), Family: records[0].Family, Skipped: []Skip{}, Model: []OnModel{}, Engines: []offer.Switch{}, records: records}
	timed := true
	var ratio float64
	latent := ask.Latent
	for _, r := range records {
		share := *ofFull(r)
		o.OfFull, o.Error = max(o.OfFull, share), max(o.Error, r.Error.RelL2)
		if r.Error.Recall != nil && (o.Recall == nil || *r.Error.Recall < *o.Recall) {
			o.Recall = r.Error.Recall
		}
		if timed = timed && r.Latency != nil; timed {
			ratio = max(ratio, r.Latency.RatioToFull)
		}
		latent = latent || ask.Model == "" && countLatent(r.Shapes) > 0
		o.Cells = append(o.Cells, Cell{r.Trace, r.SeqLen, r.Pipeline, *r.CacheBytes, share, r.Error.RelL2, r.Error.RelL2Lo, r.Error.RelL2Hi})
	}
	if timed {
		o.Ratio = &ratio
	}
	asked := offer.Asked{Pipeline: key.name, Kept: kept(records), Tokens: ask.Tokens, Latent: latent}
	if o.Engines = append(o.Engines, offer.Switches(asked)...); len(o.Engines) == 0 {
		o.NoEngine = offer.Absence(key.name)
	}
	return o
}

// kept is the share of a prompt's entries that a pipeline with a budget leaves, 1 of one that has none. That of an
// equal-bytes run, whose budgets differ by trace, is the least.
func kept(records []record.Record) float64 {
	least := 1.0
	for _, r := range records {
		for _, s := range record.ParsePipeline(r.Pipeline) {
			for _, p := range s.Params {
				if p.Key() != "budget" {
					continue
				}
				if number, ok := strings.CutSuffix(p.Value(), "%"); ok {
					if v, err := strconv.ParseFloat(number, 64); err == nil {
						least = min(least, v/100)
					}
				} else if n, err := strconv.Atoi(p.Value()); err == nil {
					least = min(least, float64(n)/float64(max(1, r.SeqLen-r.Decode)))
				}
			}
		}
	}
	return least
}

// within says whether an option keeps to the bounds.
func (a Ask) within(o *Option) bool {
	return (a.MaxError == nil || o.Error <= *a.MaxError) && (a.MaxBytes == nil || o.OfFull <= *a.MaxBytes)
}

// choose is the best option within the bounds, nil where there is none: with a bound on the error the smallest, of those of one
// size, within 1 %, the one with the least error; else the one with the least error, of those whose errors cannot be told
// apart the smallest.
func choose(options []*Option, ask Ask) *Option {
	in := slices.DeleteFunc(slices.Clone(options), func(o *Option) bool { return !ask.within(o) })
	if len(in) == 0 {
		return nil
	}
	bySize := func(a, b *Option) int { return cmp.Or(cmp.Compare(a.OfFull, b.OfFull), cmp.Compare(a.Error, b.Error)) }
	byError := func(a, b *Option) int { return cmp.Or(cmp.Compare(a.Error, b.Error), cmp.Compare(a.OfFull, b.OfFull)) }
	if ask.MaxError != nil {
		least := slices.MinFunc(in, bySize)
		return slices.MinFunc(slices.DeleteFunc(in, func(o *Option) bool { return !sameBytes(o, least) }), byError)
	}
	least := slices.MinFunc(in, byError)
	return slices.MinFunc(slices.DeleteFunc(in, func(o *Option) bool { return o != least && !sameErrors(o, least) }), bySize)
}

// sameBytes says whether caches are of one size.
func sameBytes(a, b *Option) bool { return math.Abs(a.OfFull-b.OfFull) <= sameSize*b.OfFull }

// sameErrors says whether errors cannot be told apart on any trace.
func sameErrors(a, b *Option) bool {
	if !slices.Equal(a.at, b.at) {
		return false
	}
	for i, r := range a.records {
		if !tied(r, b.records[i]) {
			return false
		}
	}
	return true
}

// nearestOption is what comes nearest to bounds that nothing keeps to, nil where there is nothing to choose from.
func nearestOption(options []*Option, ask Ask) *Option {
	if len(options) == 0 {
		return nil
	}
	excess := func(o *Option) (far float64) {
		if ask.MaxError != nil {
			far = max(far, o.Error/max(*ask.MaxError, math.SmallestNonzeroFloat32))
		}
		if ask.MaxBytes != nil {
			far = max(far, o.OfFull/max(*ask.MaxBytes, math.SmallestNonzeroFloat32))
		}
		return far
	}
	return slices.MinFunc(options, func(a, b *Option) int { return cmp.Compare(excess(a), excess(b)) })
}
