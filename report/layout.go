package report

import (
	"slices"

	"kvgauge/sim/record"
)

// cell is one figure as text.
type cell struct {
	text string
	best bool // of its column
}

// layout is a section as text, before it is fitted to an output.
type layout struct {
	heading string
	verdict []string // lines; none where no error was measured
	columns []column
	front   []bool   // [row] it is on the front of bytes and error
	names   []string // [row] pipelines with the markers of their footnotes
	hidden  int      // rows that are not here
	rows    [][]cell // [row][column]
}

// layOut turns a section into text, all rows in the order of a view and the first of them at most so many. Columns that
// nothing was measured for are left out; footnotes go to n, which may be nil.
func layOut(s section, v View, n *notes) layout {
	l := layout{heading: s.heading() + n.markers("", ofTrace(s)), verdict: verdict(s)}
	places, front, show := s.standings(), s.front(), v.rows(len(s.records))
	s = v.ordered(s, front)
	l.hidden = len(s.records) - show
	for _, r := range s.records[:show] {
		l.front = append(l.front, front[r.Pipeline])
		l.names = append(l.names, oneLine(r.Pipeline)+n.markers(r.Pipeline, ofRecord(r)))
	}
	l.rows = make([][]cell, show)
	for _, c := range s.columns(places) {
		cells := c.cells(s.records) // all: the best may be hidden
		if cells == nil {
			continue
		}
		l.columns = append(l.columns, c)
		for i := range l.rows {
			l.rows[i] = append(l.rows[i], cells[i])
		}
	}
	return l
}

// columns are those of the table, with the ones that need the whole section: the rank in front, and the gap
// behind the error that it is of.
func (s section) columns(places map[string]standing) []column {
	var all []column
	if s.ranked() {
		all = append(all, rankColumn(places))
	}
	for _, c := range columns {
		all = append(all, c)
		if c.name == "rel_l2" {
			all = append(all, s.gapColumn())
		}
	}
	return all
}

// cells writes the column for all rows, nil where none has a value.
func (c column) cells(records []record.Record) []cell {
	cells := make([]cell, len(records))
	any := false
	for i, r := range records {
		cells[i].text = "-"
		if v := c.value(r); v != nil {
			cells[i].text = c.text(r, *v)
			any = true
		}
	}
	if !any {
		return nil
	}
	c.mark(records, cells)
	return cells
}

// mark marks the best value of the column among the pipelines that compete, and its equals; where all
// of them are equal there is none.
func (c column) mark(records []record.Record, cells []cell) {
	var best, worst *float64
	for _, r := range records {
		v := c.value(r)
		if v == nil || !c.judges(r) {
			continue
		}
		if best == nil || float64(c.best)*(*v-*best) > 0 {
			best = v
		}
		if worst == nil || float64(c.best)*(*v-*worst) < 0 {
			worst = v
		}
	}
	if best == nil || *best == *worst {
		return
	}
	for i, r := range records {
		v := c.value(r)
		cells[i].best = v != nil && c.judges(r) && *v == *best
	}
}

// judges says whether a record can be the best of the column.
func (c column) judges(r record.Record) bool {
	return c.best != record.Neither && competes(r) && (c.doubt == nil || !c.doubt(r))
}

// without returns the layout less a column.
func (l layout) without(name string) layout {
	i := slices.IndexFunc(l.columns, func(c column) bool { return c.name == name })
	if i < 0 {
		return l
	}
	l.columns = slices.Delete(slices.Clone(l.columns), i, i+1)
	l.rows = slices.Clone(l.rows)
	for k, row := range l.rows {
		l.rows[k] = slices.Delete(slices.Clone(row), i, i+1)
	}
	return l
}
