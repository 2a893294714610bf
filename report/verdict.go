package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"kvgauge/sim/record"
)

// verdictErrors are the errors within which a verdict names the smallest cache.
var verdictErrors = []float64{0.01, 0.05, 0.10}

// fastWithin is the error within which a verdict names the fastest step.
const fastWithin = 0.05

// verdict says in a few lines what the figures of a section come to: the smallest cache within each error, at equal bytes the
// least error; the fastest step; what beats what; and what changes the reading of these. There is none where no error was
// measured. Bounds cannot be had, and a cache that is not smaller than full is no reduction: neither wins.
func verdict(s section) []string {
	if !slices.ContainsFunc(s.records, func(r record.Record) bool { return r.Error != nil }) {
		return nil
	}
	named := &winners{}
	lines := []string{smallestVerdict(s, named)}
	if s.equalBytes() {
		lines[0] = rankVerdict(s)
	}
	if text := fastestVerdict(s, named); text != "" {
		lines = append(lines, text)
	}
	text := ""
	if !s.equalBytes() {
		text = frontVerdict(s)
	}
	if mind := s.mind(named); mind != "" {
		text = strings.TrimPrefix(text+"; mind: "+mind, "; ")
	}
	if text != "" {
		lines = append(lines, text)
	}
	return lines
}

// winners are the records that a verdict names.
type winners struct{ records []record.Record }

// add names records, equals joined by a sign of equality.
func (w *winners) add(rs []record.Record) string {
	var names []string
	for _, r := range rs {
		w.records = append(w.records, r)
		names = append(names, oneLine(r.Pipeline))
	}
	return strings.Join(names, " = ")
}

// smallestVerdict names the smallest cache within each error.
func smallestVerdict(s section, named *winners) string {
	none := "none"
	if i := slices.IndexFunc(s.records, isBaseline); i >= 0 {
		none = "none but " + oneLine(s.records[i].Pipeline)
	}
	var parts []string
	for _, e := range verdictErrors {
		text := none
		if rs := smallestWithin(s.records, e); rs != nil {
			text = fmt.Sprintf("%s (%s, %s of full)", named.add(rs), byteText(float64(*rs[0].CacheBytes)), percentText(*ofFull(rs[0])))
		}
		parts = append(parts, fmt.Sprintf("%g %%: %s", 100*e, text))
	}
	return "smallest cache with an error within " + strings.Join(parts, "; ")
}

// smallestWithin returns the records with the smallest cache whose error is at most e, those with least error among equals;
// nil where there is none.
func smallestWithin(records []record.Record, e float64) []record.Record {
	return least(records, func(r record.Record) bool { return inFront(r) && r.Error.RelL2 <= e }, func(a, b record.Record) int {
		return cmp.Or(cmp.Compare(*a.CacheBytes, *b.CacheBytes), cmp.Compare(a.Error.RelL2, b.Error.RelL2))
	})
}

// least returns the records that come first in an order, of those that count: all that are equal.
func least(records []record.Record, counts func(record.Record) bool, compare func(a, b record.Record) int) []record.Record {
	var best []record.Record
	for _, r := range records {
		switch {
		case !counts(r):
		case best == nil || compare(r, best[0]) < 0:
			best = []record.Record{r}
		case compare(r, best[0]) == 0:
			best = append(best, r)
		}
	}
	return best
}

// fastestVerdict names the fastest step within an error, with those that its interval cannot tell apart from it; "" where no
// step was timed.
func fastestVerdict(s section, named *winners) string {
	if !slices.ContainsFunc(s.records, func(r record.Record) bool { return r.Latency != nil }) {
		return ""
	}
	start := fmt.Sprintf("fastest step with an error within %g %%: ", 100*fastWithin)
	fastest := least(s.records, func(r record.Record) bool {
		return competes(r) && r.Error != nil && r.Error.RelL2 <= fastWithin && r.Latency != nil && !noisy(r) && r.Latency.RatioToFull < 1
	}, func(a, b record.Record) int { return cmp.Compare(a.Latency.RatioToFull, b.Latency.RatioToFull) })
	if fastest == nil {
		return start + "none is faster than full"
	}
	first := fastest[0]
	text := start + fmt.Sprintf("%s (%s of full's)", named.add(fastest), ratioIntervalText(first, first.Latency.RatioToFull))
	var near []record.Record
	for _, r := range s.records {
		if competes(r) && r.Error != nil && r.Error.RelL2 <= fastWithin && r.Pipeline != first.Pipeline && overlap(first.Latency, r.Latency) {
			near = append(near, r)
		}
	}
	if len(near) > 0 {
		text += ", not told apart from " + some(near)
	}
	return text
}

// overlap says whether the intervals of two ratios to full have a point in common.
func overlap(a, b *record.Latency) bool {
	if b == nil || a.RatioLo == nil || a.RatioHi == nil || b.RatioLo == nil || b.RatioHi == nil {
		return false
	}
	return *a.RatioLo <= *b.RatioHi && *b.RatioLo <= *a.RatioHi
}

// some names the first few of some records, and counts the others.
func some(rs []record.Record) string {
	const most = 3
	var names []string
	for _, r := range rs[:min(most, len(rs))] {
		names = append(names, oneLine(r.Pipeline))
	}
	text := strings.Join(names, ", ")
	if more := len(rs) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// frontVerdict says which pipelines no other beats in both bytes and error, and which of these beats the others: of several
// the one with the least error.
func frontVerdict(s section) string {
	front := s.front()
	var on []record.Record
	for _, r := range s.records {
		if front[r.Pipeline] {
			on = append(on, r)
		}
	}
	slices.SortStableFunc(on, func(a, b record.Record) int { return cmp.Compare(a.Error.RelL2, b.Error.RelL2) })
	if on == nil {
		return ""
	}
	beaten := make([][]record.Record, len(on))
	for _, r := range s.records {
		if i := slices.IndexFunc(on, func(o record.Record) bool { return dominates(o, r) }); i >= 0 {
			beaten[i] = append(beaten[i], r)
		}
	}
	var names, by []string
	for i, r := range on {
		names = append(names, oneLine(r.Pipeline))
		if beaten[i] != nil {
			by = append(by, fmt.Sprintf("%s beats %s", oneLine(r.Pipeline), some(beaten[i])))
		}
	}
	text := "on the front of bytes and error: " + strings.Join(names, ", ")
	if by != nil {
		text += "; in both, " + strings.Join(by, "; ")
	}
	return text
}

// Warnings that change what figures mean: of all of a trace, and of a pipeline's own.
var (
	readingsOfTrace = []string{"outputs-differ", "repeated-heads", "f16-underflow", "unknown-field"}
	readings        = []string{
		"fitted-on-sequence", "underdetermined", "schedule-uniform", "budget-above-length", "nothing-evicted", "declared-bytes",
	}
)

// mind says what changes the reading of a section: warnings of its trace and of those named, bounds that bound nothing, noise.
// It is "" where nothing does.
func (s section) mind(named *winners) string {
	var parts []string
	having := func(rs []record.Record, code string) int {
		return slices.IndexFunc(rs, func(r record.Record) bool {
			return slices.ContainsFunc(r.Warnings, func(w record.Warning) bool { return w.Code == code })
		})
	}
	for _, code := range readingsOfTrace {
		if having(s.records, code) >= 0 {
			parts = append(parts, code+" of the trace")
		}
	}
	for _, code := range readings {
		if i := having(named.records, code); i >= 0 {
			parts = append(parts, code+" of "+oneLine(named.records[i].Pipeline))
		}
	}
	if text := s.degenerate(); text != "" {
		parts = append(parts, text)
	}
	loud, timed := 0, 0
	for _, r := range s.records {
		if r.Latency != nil {
			timed++
		}
		if noisy(r) {
			loud++
		}
	}
	if loud > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d step times are noisy", loud, timed))
	}
	return strings.Join(parts, ", ")
}

// degenerate says of bounds of one size that they bound nothing: the one that holds more of the exact softmax mass, which is
// what foresight chooses by, has the larger error.
func (s section) degenerate() string {
	for i, a := range s.records {
		for _, b := range s.records[i+1:] {
			if !isBound(a) || !isBound(b) || a.Error == nil || b.Error == nil || a.Error.Mass == nil || b.Error.Mass == nil || s.rivals(a) != s.rivals(b) {
				continue
			}
			if more, less := a, b; *a.Error.Mass != *b.Error.Mass {
				if *a.Error.Mass < *b.Error.Mass {
					more, less = b, a
				}
				if more.Error.RelL2 > less.Error.RelL2 {
					return fmt.Sprintf("the bounds bound nothing: %s has more error than %s", oneLine(more.Pipeline), oneLine(less.Pipeline))
				}
			}
		}
	}
	return ""
}
