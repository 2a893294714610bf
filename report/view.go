package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"kvgauge/sim/record"
)

// View says which part of the records a terminal table shows: by default, of each trace its longest length, and there the
// pipelines that nothing beats in both bytes and error, then the others, up to some rows.
type View struct {
	Sort       string // a column of SortColumns, best first; "" for the order above
	Top        int    // rows of a table; 0 is usualRows
	AllRows    bool
	AllLengths bool
}

// usualRows keeps the tables of three traces within a page.
const usualRows = 11

// SortColumns are the columns that rows can be ordered by.
func SortColumns() []string {
	names := []string{"pipeline"}
	for _, c := range columns {
		names = append(names, c.name)
	}
	return names
}

// rows is how many rows of so many the view shows.
func (v View) rows(all int) int {
	switch {
	case v.AllRows:
		return all
	case v.Top > 0:
		return min(v.Top, all)
	}
	return min(usualRows, all)
}

// sections are those of the view, in their order.
func (v View) sections(all []section) []section {
	if v.AllLengths {
		return all
	}
	longest := map[sectionKey]int{} // by what sections of one trace share
	for _, s := range all {
		k := s.anyLength()
		if n := s.records[0].SeqLen; s.measured() && n > longest[k] {
			longest[k] = n
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(s section) bool {
		n, ok := longest[s.anyLength()]
		return ok && s.records[0].SeqLen != n
	})
}

// unmeasured says of each length that the view leaves out because nothing was measured there why that is.
func (v View) unmeasured(all, shown []section) (lines []string) {
	for _, s := range all {
		first := s.records[0]
		if s.measured() || slices.ContainsFunc(shown, func(o section) bool { return o.records[0].Key() == first.Key() }) {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s, %s: nothing was measured: %s", oneLine(first.Trace), record.Count(first.SeqLen, "token", ""), oneLine(first.Reason)))
	}
	return lines
}

// anyLength is the key of the sections of the same trace and options at any length.
func (s section) anyLength() sectionKey {
	k := keyOf(s.records[0])
	k.seqLen, k.decode, k.windows = 0, 0, 0
	return k
}

// measured says whether any record of the section was.
func (s section) measured() bool {
	return slices.ContainsFunc(s.records, func(r record.Record) bool { return r.Status == record.OK })
}

// front are the pipelines that compete with a smaller cache and are on the front of bytes and error: none has less of both,
// or less of one and the same of the other. Equal ones all are.
func (s section) front() map[string]bool {
	front := map[string]bool{}
	for _, r := range s.records {
		if inFront(r) && !slices.ContainsFunc(s.records, func(o record.Record) bool { return dominates(o, r) }) {
			front[r.Pipeline] = true
		}
	}
	return front
}

// inFront says whether a record can be on a front.
func inFront(r record.Record) bool { return competes(r) && smaller(r) && r.Error != nil }

// dominates says whether a has no more bytes and error than b, and less of one.
func dominates(a, b record.Record) bool {
	return inFront(a) && inFront(b) && *a.CacheBytes <= *b.CacheBytes && a.Error.RelL2 <= b.Error.RelL2 &&
		(*a.CacheBytes < *b.CacheBytes || a.Error.RelL2 < b.Error.RelL2)
}

// unsorted says whether no record of a section has the column that rows are to be ordered by.
func (v View) unsorted(s section) bool {
	c, ok := columnOf(v.Sort)
	return ok && !slices.ContainsFunc(s.records, func(r record.Record) bool { return c.value(r) != nil })
}

// ordered returns the section with its rows in the order of the view, or in the usual one where nothing is known to order by.
func (v View) ordered(s section, front map[string]bool) section {
	if v.unsorted(s) {
		v.Sort = ""
	}
	sorted := slices.Clone(s.records)
	switch c, ok := columnOf(v.Sort); {
	case v.Sort == "pipeline":
		slices.SortStableFunc(sorted, func(a, b record.Record) int { return cmp.Compare(a.Pipeline, b.Pipeline) })
	case ok:
		slices.SortStableFunc(sorted, func(a, b record.Record) int { return cmp.Compare(c.place(a), c.place(b)) })
	case s.ranked():
		return s.byPlace(s.standings())
	default:
		slices.SortStableFunc(sorted, func(a, b record.Record) int {
			return cmp.Or(cmp.Compare(group(a, front), group(b, front)), cmp.Compare(errorOf(a), errorOf(b)))
		})
	}
	return section{sorted}
}

// columnOf finds a column by its name.
func columnOf(name string) (column, bool) {
	i := slices.IndexFunc(columns, func(c column) bool { return c.name == name })
	if i < 0 {
		return column{}, false
	}
	return columns[i], true
}

// place is what rows are ordered by, the best first; infinite where the column has no value.
func (c column) place(r record.Record) float64 {
	v := c.value(r)
	switch {
	case v == nil:
		return math.Inf(1)
	case c.best == record.Larger:
		return -*v
	}
	return *v
}

// group is the place of a record's kind: full, what failed, which must not be overlooked, the front, the others, what was
// not measured.
func group(r record.Record, front map[string]bool) int {
	switch {
	case r.Status == record.Failed:
		return 1
	case r.Status != record.OK:
		return 4
	case isBaseline(r):
		return 0
	case front[r.Pipeline]:
		return 2
	}
	return 3
}

// errorOf is a record's error, infinite where it was not measured.
func errorOf(r record.Record) float64 {
	if r.Error == nil {
		return math.Inf(1)
	}
	return r.Error.RelL2
}
