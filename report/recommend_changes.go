package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"kvgauge/sim/offer"
	"kvgauge/sim/record"
)

// steps is how far a list of looser bounds goes.
const steps = 3

// bounds says from which bounds on the choice would be another: the looser ones that let a better pipeline in, one after
// another, and the tighter one that shuts the choice out.
func (r *Recommendation) bounds(options []*Option) (all []Alternative) {
	if r.Ask.MaxError == nil {
		return r.byteBounds(options)
	}
	ask, chosen := r.Ask, r.Choice
	for range steps {
		better := slices.DeleteFunc(slices.Clone(options), func(o *Option) bool {
			return ask.MaxBytes != nil && o.OfFull > *ask.MaxBytes || chosen != nil && (o.OfFull >= chosen.OfFull || sameBytes(o, chosen)) || ask.within(o)
		})
		if len(better) == 0 {
			break
		}
		next := slices.MinFunc(better, func(a, b *Option) int { return cmp.Or(cmp.Compare(a.Error, b.Error), cmp.Compare(a.OfFull, b.OfFull)) })
		ask.MaxError, chosen = &next.Error, next
		if o := choose(options, ask); o != nil {
			chosen = o
		}
		all = append(all, changeOf("max_error", "with an error of "+upText(next.Error)+" allowed", &next.Error, chosen))
	}
	if r.Choice != nil {
		tighter := choose(slices.DeleteFunc(slices.Clone(options), func(o *Option) bool { return o.Error >= r.Choice.Error }), r.Ask)
		all = append(all, changeOf("max_error", "with less error than "+percentText(r.Choice.Error)+" asked for", &r.Choice.Error, tighter))
	}
	if r.Choice != nil && ask.MaxBytes != nil {
		all = append(all, r.smaller(options))
	}
	return all
}

// byteBounds is bounds where none is set to the error.
func (r *Recommendation) byteBounds(options []*Option) (all []Alternative) {
	chosen := r.Choice
	for range steps {
		better := slices.DeleteFunc(slices.Clone(options), func(o *Option) bool {
			return r.Ask.within(o) || chosen != nil && (o.Error >= chosen.Error || o.OfFull <= chosen.OfFull)
		})
		if len(better) == 0 {
			break
		}
		next := slices.MinFunc(better, func(a, b *Option) int { return cmp.Or(cmp.Compare(a.OfFull, b.OfFull), cmp.Compare(a.Error, b.Error)) })
		chosen = next
		all = append(all, changeOf("max_bytes", "with "+upText(next.OfFull)+" of the bytes allowed", &next.OfFull, next))
	}
	if r.Choice != nil {
		all = append(all, r.smaller(options))
	}
	return all
}

// smaller is the choice where it must be smaller than the one that was made.
func (r *Recommendation) smaller(options []*Option) Alternative {
	o := choose(slices.DeleteFunc(slices.Clone(options), func(o *Option) bool { return o.OfFull >= r.Choice.OfFull }), r.Ask)
	return changeOf("max_bytes", "with less than "+percentText(r.Choice.OfFull)+" of the bytes", &r.Choice.OfFull, o)
}

// everywhere says what the choice would be if it had to apply to every trace.
func (r *Recommendation) everywhere(options []*Option) []Alternative {
	if r.Choice == nil || len(r.Choice.Skipped) == 0 {
		return nil
	}
	o := choose(slices.DeleteFunc(slices.Clone(options), func(o *Option) bool { return len(o.Skipped) > 0 }), r.Ask)
	return []Alternative{changeOf("traces", "if it had to apply to every trace", nil, o)}
}

// offered says what the choice would be without the engine that was asked for or, where no engine has it, with one.
func (r *Recommendation) offered(longest []section) []Alternative {
	ask := r.Ask
	ask.Engine = ""
	all, _ := options(longest, ask)
	switch {
	case r.Ask.Engine != "":
		if o := choose(all, ask); o != nil && (r.Choice == nil || o.name() != r.Choice.name()) {
			when := "if no engine had to offer it"
			if len(o.Engines) > 0 {
				when = "with another engine, such as " + titles(o.Engines)
			}
			return []Alternative{changeOf("engine", when, nil, o)}
		}
	case r.Choice != nil && len(r.Choice.Engines) == 0:
		o := choose(slices.DeleteFunc(all, func(o *Option) bool { return len(o.Engines) == 0 }), ask)
		when := "if an engine had to offer it"
		if o != nil {
			when += ", such as " + titles(o.Engines)
		}
		return []Alternative{changeOf("engine", when, nil, o)}
	}
	return nil
}

// titles are the names of engines, each once.
func titles(switches []offer.Switch) string {
	var names []string
	for _, s := range switches {
		if !slices.Contains(names, s.Title) {
			names = append(names, s.Title)
		}
	}
	if len(names) > 2 {
		return strings.Join(names[:2], ", ") + " or another"
	}
	return strings.Join(names, " or ")
}

// lengths says what the choice would be at shorter lengths, those together at which it is the same.
func (r *Recommendation) lengths(traces measuredTraces) (all []Alternative) {
	var shorter []int
	for _, g := range traces {
		ns := g.lengths()
		shorter = append(shorter, ns[:len(ns)-1]...)
	}
	slices.Sort(shorter)
	shorter = slices.Compact(shorter)
	slices.Reverse(shorter)
	type at struct {
		name    string
		option  *Option
		lengths []int
	}
	var found []*at
	for _, n := range shorter {
		var over []section
		for _, g := range traces {
			if s, ok := g[n]; ok {
				over = append(over, s)
			}
		}
		options, _ := options(over, r.Ask)
		o, name := choose(options, r.Ask), ""
		if o != nil {
			name = o.name()
		}
		if r.Choice != nil && name == r.Choice.name() || r.Choice == nil && o == nil {
			continue
		}
		i := slices.IndexFunc(found, func(f *at) bool { return f.name == name })
		if i < 0 {
			found = append(found, &at{name: name, option: o})
			i = len(found) - 1
		}
		found[i].lengths = append(found[i].lengths, n)
	}
	for _, f := range found {
		var texts []string
		for _, n := range slices.Backward(f.lengths) {
			texts = append(texts, lengthText(n))
		}
		longest := float64(f.lengths[0])
		all = append(all, changeOf("length", "at "+strings.Join(texts, ", ")+" tokens", &longest, f.option))
	}
	return all
}

// changeOf is a change to an option, nil being full.
func changeOf(kind, when string, value *float64, o *Option) Alternative {
	c := Alternative{Kind: kind, When: when, Value: value}
	if o != nil {
		c.Pipeline, c.OfFull, c.Error, c.Recall = o.name(), &o.OfFull, &o.Error, o.Recall
	}
	return c
}

// upText is a share with 3 significant digits, rounded up: a bound that is written so holds.
func upText(share float64) string {
	p := 100 * share
	if p <= 0 {
		return "0 %"
	}
	unit := math.Pow(10, max(-3, math.Floor(math.Log10(p))-2))
	return digits(math.Ceil(p/unit-1e-9)*unit, 3) + " %"
}

// unmeasured says what the engine that was asked for offers besides, which no record is of.
func (r *Recommendation) unmeasured(longest []section) []string {
	if r.Ask.Engine == "" {
		return nil
	}
	var given []string
	latent := r.Ask.Latent
	for _, s := range longest {
		for _, c := range s.records {
			given = append(given, c.Pipeline)
			latent = latent || r.Ask.Model == "" && countLatent(c.Shapes) > 0
		}
	}
	others := offer.Others(r.Ask.Engine, latent, given)
	if others == nil {
		return nil
	}
	return []string{fmt.Sprintf("%s also offers %s, of which there is no record: kvgauge run --methods full,%s", offer.Title(r.Ask.Engine), strings.Join(others, ", "), strings.Join(others, ","))}
}

// growing is how much more error at twice the length is taken to be growth.
const growing = 1.1

// closeBy is how close to a bound an error is where little would move it beyond.
const closeBy = 0.9

// doubts are what the figures of the choice leave open.
func (r *Recommendation) doubts(traces measuredTraces) (all []string) {
	o := r.Choice
	if o == nil {
		return nil
	}
	if s, ok := r.like(o); ok {
		all = append(all, fmt.Sprintf("%s has its own form of it, whose error was not measured: %s", s.Title, s.Note))
	}
	for _, skip := range o.Skipped {
		all = append(all, fmt.Sprintf("It does not apply to %s (%s), and was not measured there.", skip.Trace, skip.Reason))
	}
	limit := r.Ask.MaxError
	var single, beyond []string
	for _, c := range o.records {
		switch {
		case c.Windows < 2:
			single = append(single, c.Trace)
		case limit != nil && c.Error.RelL2Lo != nil && c.Error.RelL2Hi != nil && *c.Error.RelL2Hi > *limit:
			beyond = append(beyond, fmt.Sprintf("%s to %s on %s", percentText(*c.Error.RelL2Lo), percentText(*c.Error.RelL2Hi), c.Trace))
		}
	}
	if beyond != nil {
		all = append(all, fmt.Sprintf("The 95 %% interval of its error reaches beyond %s: %s.", boundText(*limit), strings.Join(beyond, ", ")))
	} else if limit != nil && o.Error > closeBy**limit {
		all = append(all, fmt.Sprintf("Its error of %s is close to the bound of %s.", percentText(o.Error), boundText(*limit)))
	}
	if single != nil {
		all = append(all, fmt.Sprintf("Errors on %s are of one window of the text: run --windows 4 says how far they vary.", strings.Join(single, ", ")))
	}
	if r.RunnerUp != nil && sameErrors(o, r.RunnerUp) {
		all = append(all, fmt.Sprintf("Its error cannot be told from that of %s.", r.RunnerUp.name()))
	}
	for _, o := range []*Option{o, r.RunnerUp} {
		if o == nil {
			continue
		}
		for _, c := range o.records {
			if c.ChangedLayers != nil && *c.ChangedLayers < len(c.Layers) {
				all = append(all, fmt.Sprintf("%s changed %d of %s of %s: where that share is another, so are its bytes and its error.",
					o.name(), *c.ChangedLayers, layersText(len(c.Layers)), c.Trace))
			}
		}
	}
	all = append(all, r.growth(traces)...)
	var versions []string
	for _, c := range o.records {
		if !slices.Contains(versions, c.Version) {
			versions = append(versions, c.Version)
		}
	}
	if len(versions) > 1 {
		all = append(all, fmt.Sprintf("Its records are of several versions of kvgauge: %s.", oneLine(strings.Join(versions, ", "))))
	}
	longest := 0
	var others []string
	for _, m := range r.Traces {
		longest = max(longest, m.SeqLen)
		if !slices.Contains(others, m.Model) {
			others = append(others, m.Model)
		}
	}
	if r.Ask.Model != "" && !slices.ContainsFunc(others, func(m string) bool { return sameModel(m, r.Ask.Model) }) {
		all = append(all, fmt.Sprintf("Errors are those of %s, not of %s: a trace of it (kvgauge trace hook) would say more.", oneLine(strings.Join(others, ", ")), oneLine(r.Ask.Model)))
	}
	if r.Ask.Tokens > longest {
		all = append(all, fmt.Sprintf("Nothing was measured beyond %s tokens: errors at %s may differ.", lengthText(longest), lengthText(r.Ask.Tokens)))
	}
	if o.Ratio != nil && *o.Ratio > 1 {
		all = append(all, fmt.Sprintf("Its step took %s the time of full's on the machine that measured it: it saves bytes, not time.", ratioText(*o.Ratio)))
	}
	if o.Recall != nil && *o.Recall < 1 {
		all = append(all, fmt.Sprintf("It still holds %s of the needles when they are asked for.", percentText(*o.Recall)))
	}
	var disturbed []string
	for _, c := range o.records {
		for _, w := range c.Warnings {
			text := warningText(w) + " (" + c.Trace + ")"
			if w.Code != codeOfTrace && !slices.Contains(all, text) {
				all = append(all, oneLine(text))
			}
		}
		if noisy(c) {
			disturbed = append(disturbed, c.Trace)
		}
	}
	if disturbed != nil {
		all = append(all, fmt.Sprintf("Its step is noisy on %s: other work on the machine disturbed it.", strings.Join(disturbed, ", ")))
	}
	return all
}

// like is the engine that was asked for, or the first there is, where it has the option in a form of its own alone.
func (r *Recommendation) like(o *Option) (offer.Switch, bool) {
	for _, s := range o.Engines {
		if r.Ask.Engine == "" || s.Engine == r.Ask.Engine {
			return s, s.Fit == offer.Like
		}
	}
	return offer.Switch{}, false
}

// growth says on which traces the error of the choice grows with the length.
func (r *Recommendation) growth(traces measuredTraces) (all []string) {
	var grows []string
	for i, at := range r.Choice.at {
		g := traces[at]
		ns := g.lengths()
		if len(ns) < 2 {
			continue
		}
		last, before := ns[len(ns)-1], ns[len(ns)-2]
		key := keyOfOption(r.Choice.records[i])
		j := slices.IndexFunc(g[before].records, func(o record.Record) bool { return keyOfOption(o) == key })
		if j < 0 || g[before].records[j].Error == nil {
			continue
		}
		if a, b := g[before].records[j].Error.RelL2, r.Choice.records[i].Error.RelL2; b > growing*a {
			grows = append(grows, fmt.Sprintf("from %s at %s tokens to %s at %s on %s", percentText(a), lengthText(before), percentText(b), lengthText(last), r.Choice.records[i].Trace))
		}
	}
	if grows != nil {
		all = append(all, fmt.Sprintf("Its error grows with the length: %s.", strings.Join(grows, ", ")))
	}
	return all
}

// sameModel says whether one name is the other, or goes on from it.
func sameModel(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	return a != "" && b != "" && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a))
}
