package report

import (
	"fmt"
	"math"
	"slices"

	"kvgauge/sim"
)

// lossFloor is the change of an error that is never one: the smallest that tables show. Another kernel
// adds in another order, which moves errors of rounding by far less.
const lossFloor = 1e-5

// judged is a figure that is compared: the smaller its loss the better.
type judged struct {
	kind, field string
	value       func(sim.Record) *float64
	loss        func(float64) float64
	text        func(float64) string
}

// judgedFigures are all of them. Late mass is not judged, layers and quarters are parts of others.
var judgedFigures = []judged{
	bytesFigureOf("cache_bytes", func(r sim.Record) *int64 { return r.CacheBytes }),
	bytesFigureOf("metadata_bytes", func(r sim.Record) *int64 { return r.MetadataBytes }),
	bytesFigureOf("paged_bytes", func(r sim.Record) *int64 { return r.PagedBytes }),
	bytesFigureOf("weight_bytes", func(r sim.Record) *int64 { return r.WeightBytes }),
	bytesFigureOf("peak_bytes", func(r sim.Record) *int64 { return r.PeakBytes }),
	bytesFigureOf("traffic_bytes", func(r sim.Record) *int64 { return r.TrafficBytes }),
	errorFigureOf("rel_l2", itself, func(e *sim.ErrorStats) *float64 { return &e.RelL2 }),
	errorFigureOf("rel_l2_p95", itself, func(e *sim.ErrorStats) *float64 { return &e.RelL2P95 }),
	errorFigureOf("rel_l2_worst_layer", itself, func(e *sim.ErrorStats) *float64 { return &e.RelL2WorstLayer }),
	errorFigureOf("max_abs", itself, func(e *sim.ErrorStats) *float64 { return &e.MaxAbs }),
	errorFigureOf("cosine", fromOne, func(e *sim.ErrorStats) *float64 { return &e.Cosine }),
	errorFigureOf("mass", fromOne, func(e *sim.ErrorStats) *float64 { return e.Mass }),
	errorFigureOf("recall", fromOne, func(e *sim.ErrorStats) *float64 { return e.Recall }),
}

func itself(v float64) float64  { return v }
func fromOne(v float64) float64 { return 1 - v }

func bytesFigureOf(field string, value func(sim.Record) *int64) judged {
	return judged{"bytes", field, func(r sim.Record) *float64 { return whole(value(r)) }, itself, byteText}
}

func errorFigureOf(field string, loss func(float64) float64, value func(*sim.ErrorStats) *float64) judged {
	text := percentText
	if field == "max_abs" {
		text = func(v float64) string { return digits(v, 3) }
	}
	return judged{"error", "error." + field, errorOf(value), loss, text}
}

// figures compares bytes and errors.
func (c *Comparison) figures(p pair) []Change {
	var all []Change
	for _, f := range judgedFigures {
		old, now := f.value(*p.old), f.value(*p.new)
		if old == nil {
			continue
		}
		if now == nil {
			ch := change(p, f.kind, Regression, "no longer measured")
			ch.Figure, ch.Old = f.field, old
			all = append(all, ch)
			continue
		}
		limit, floor := c.Limits.Bytes, 0.0
		if f.kind == "error" {
			limit, floor = c.Limits.Error, lossFloor
		}
		before, after := f.loss(*old), f.loss(*now)
		if math.Abs(after-before) <= floor {
			continue
		}
		ch := change(p, f.kind, judge(before, after, limit), "")
		ch.Figure, ch.Old, ch.New = f.field, old, now
		ch.Growth = growth(before, after)
		ch.Text = fmt.Sprintf("%s, was %s%s", f.text(*now), f.text(*old), growthText(ch.Growth))
		if f.text(*now) == f.text(*old) {
			ch.Text = fmt.Sprintf("%v, was %v%s", *now, *old, growthText(ch.Growth))
		}
		all = append(all, ch)
	}
	return all
}

// judge compares two losses.
func judge(before, after, limit float64) Verdict {
	switch {
	case after < before:
		return Improvement
	case after-before <= limit*math.Abs(before):
		return Allowed
	}
	return Regression
}

// growth is the relative growth of a loss, or nil from nothing.
func growth(before, after float64) *float64 {
	if before == 0 {
		return nil
	}
	g := (after - before) / math.Abs(before)
	return &g
}

func growthText(g *float64) string {
	if g == nil {
		return ""
	}
	sign := "+"
	if *g < 0 {
		sign = "-"
	}
	return fmt.Sprintf(" (%s%s)", sign, percentText(math.Abs(*g)))
}

// kept compares kept entries, exactly, where both records hold them.
func (c *Comparison) kept(p pair) []Change {
	var all []Change
	for _, f := range []struct {
		field    string
		old, now [][][]int32
	}{{"kept", p.old.Kept, p.new.Kept}, {"kept_final", p.old.KeptFinal, p.new.KeptFinal}} {
		if f.old == nil || f.now == nil {
			continue
		}
		if text := keptDiffer(f.old, f.now); text != "" {
			ch := change(p, "kept", Regression, text)
			ch.Figure = f.field
			all = append(all, ch)
		}
	}
	return all
}

// keptDiffer says where kept positions [layer][head] differ first, and in how many heads, or nothing.
func keptDiffer(old, now [][][]int32) string {
	if len(old) != len(now) {
		return fmt.Sprintf("%d layers, were %d", len(now), len(old))
	}
	first, heads := "", 0
	for l := range old {
		if len(old[l]) != len(now[l]) {
			return fmt.Sprintf("%d heads in entry %d of the layers, were %d", len(now[l]), l, len(old[l]))
		}
		for h := range old[l] {
			if slices.Equal(old[l][h], now[l][h]) {
				continue
			}
			if heads++; heads == 1 {
				gone, come := without(old[l][h], now[l][h]), without(now[l][h], old[l][h])
				first = fmt.Sprintf("entry %d of the layers, head %d: %d positions gone%s, %d come%s", l, h, len(gone), example(gone), len(come), example(come))
			}
		}
	}
	if heads > 1 {
		first += fmt.Sprintf("; %d heads differ in all", heads)
	}
	return first
}

// without returns the positions of a that b lacks.
func without(a, b []int32) []int32 {
	in := map[int32]bool{}
	for _, p := range b {
		in[p] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(p int32) bool { return in[p] })
}

func example(ps []int32) string {
	if len(ps) == 0 {
		return ""
	}
	return fmt.Sprintf(" (such as %d)", ps[0])
}
