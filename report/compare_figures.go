package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"kvgauge/sim/record"
)

// lossFloor is the change of an error that is never one: the smallest that tables show. Another kernel
// adds in another order, which moves errors of rounding by far less.
const lossFloor = 1e-5

// judged are the figures of bytes and errors that have a better side, in the order in which changes are told: those
// that should be small, then those that should be large.
var judged = func() []record.Figure {
	var all []record.Figure
	for _, better := range []record.Direction{record.Smaller, record.Larger} {
		for _, f := range record.Figures {
			if f.Better == better && (f.Kind == record.Bytes || f.Kind == record.Error) {
				all = append(all, f)
			}
		}
	}
	return all
}()

// loss is what should be small of a figure: itself, or what it lacks of 1.
func loss(f record.Figure, v float64) float64 {
	if f.Better == record.Larger {
		return 1 - v
	}
	return v
}

// figures compares bytes and errors.
func (c *Comparison) figures(p pair) []Change {
	var all []Change
	for _, f := range judged {
		old, now, kind, text := f.Value(*p.old), f.Value(*p.new), string(f.Kind), unitText(f.Unit)
		switch {
		case old == nil && now == nil:
			continue
		case now == nil:
			ch := change(p, kind, Regression, "not measured, was "+text(*old))
			ch.Figure, ch.Old = f.Name, old
			all = append(all, ch)
			continue
		case old == nil:
			ch := change(p, kind, Allowed, text(*now)+", was not measured")
			ch.Figure, ch.New = f.Name, now
			all = append(all, ch)
			continue
		}
		limit, floor := c.Limits.Bytes, 0.0
		if f.Kind == record.Error {
			limit, floor = c.Limits.Error, lossFloor
		}
		before, after := loss(f, *old), loss(f, *now)
		if math.Abs(after-before) <= floor {
			continue
		}
		ch := change(p, kind, judge(before, after, limit), "")
		ch.Figure, ch.Old, ch.New = f.Name, old, now
		ch.Growth = growth(before, after)
		shown := [2]string{text(*now), text(*old)}
		if shown[0] == shown[1] {
			shown = [2]string{exactText(f.Unit, *now), exactText(f.Unit, *old)}
		}
		ch.Text = fmt.Sprintf("%s, was %s%s", shown[0], shown[1], differenceText(f, *old, *now, ch.Growth))
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

// differenceText says how a figure changed: a share by points, as a percentage of a percentage is taken for these; and
// by which part of it, or where it should be large of what it lacks of 1, which is what the limits are of.
func differenceText(f record.Figure, old, now float64, growth *float64) string {
	if f.Unit != record.Share {
		return growthText(growth)
	}
	text := "points"
	if growth != nil {
		of := ""
		if f.Better == record.Larger {
			of = "loss "
		}
		text += ", " + of + signed(*growth, percentText)
	}
	return fmt.Sprintf(" (%s %s)", signed(100*(now-old), pointText), text)
}

// pointText writes percentage points with 3 significant digits and no more than 3 places, but says never that a change is none.
func pointText(points float64) string {
	if points < 0.0005 {
		return "<0.001"
	}
	return digits(points, 3)
}

func growthText(growth *float64) string {
	if growth == nil {
		return ""
	}
	return " (" + signed(*growth, percentText) + ")"
}

// exactText writes a figure in full, where rounded it looks like another.
func exactText(u record.Unit, v float64) string {
	if u == record.Byte {
		return humanize.Commaf(v) + " B"
	}
	return fmt.Sprint(v)
}

// signed writes a change with its sign, or where it is too small for that in words.
func signed(change float64, text func(float64) string) string {
	if least, small := strings.CutPrefix(text(math.Abs(change)), "<"); small {
		way := "up"
		if change < 0 {
			way = "down"
		}
		return way + " by less than " + least
	}
	sign := "+"
	if change < 0 {
		sign = "-"
	}
	return sign + text(math.Abs(change))
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
		return fmt.Sprintf("%s, were %d", layersText(len(now)), len(old))
	}
	first, heads := "", 0
	for l := range old {
		if len(old[l]) != len(now[l]) {
			return fmt.Sprintf("%s in entry %d of the layers, were %d", record.Count(len(now[l]), "head", ""), l, len(old[l]))
		}
		for h := range old[l] {
			if slices.Equal(old[l][h], now[l][h]) {
				continue
			}
			if heads++; heads == 1 {
				gone, come := without(old[l][h], now[l][h]), without(now[l][h], old[l][h])
				first = fmt.Sprintf("entry %d of the layers, head %d: %s gone%s, %d come%s", l, h, record.Count(len(gone), "position", ""), example(gone), len(come), example(come))
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
