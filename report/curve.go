package report

import (
	"cmp"
	"slices"

	"gonum.org/v1/plot"

	"kvgauge/sim/record"
)

// point is one marker.
type point struct {
	x, y     float64
	lo, hi   float64 // interval of y; both y where there is none
	pipeline string
	style    style
	bound    bool
	common   bool // full or a bound, which all rows of small multiples show
	other    bool // neither a bound nor a reduction: full, what equals it, and what errs by rounding alone
}

// series are points that a line joins, by rising x.
type series struct {
	style  style // of the line
	points []point
}

// axis is a logarithmic axis, or a linear one.
type axis struct {
	label     string
	linear    bool
	low, high float64
	ticks     plot.Ticker
}

// panel is one set of axes.
type panel struct {
	title  string
	x, y   axis
	series []series
	front  []point // Pareto front, or nil
	// backdrop are curves that others stand out from.
	backdrop []series
	named    bool    // points of the front bear their names, and others where there is room
	key      []style // a legend of its own, at the top of the axes; nil where the figure's serves
	exact    bool    // markers stay at their points though they hide each other
}

// figure is one picture before it is drawn.
type figure struct {
	title    string
	panels   []panel // at least one
	captions []string
	order    []style // of the legend
	rows     []row   // the panels as small multiples, or nil
	bars     []chart // below the panels, one each, or nil
}

// traceRecords are the records of each trace, in their order. The names are those of apart.
func traceRecords(records []record.Record) [][]record.Record {
	var all [][]record.Record
	at := map[string]int{}
	for _, r := range records {
		i, ok := at[r.Trace]
		if !ok {
			i = len(all)
			at[r.Trace] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], r)
	}
	return all
}

// join makes the points of records into series, one for each name; bounds come first, so that others are
// drawn over them.
func join(records []record.Record, name func(record.Record) string, look map[string]style, value func(record.Record) (point, bool)) []series {
	var all []series
	at := map[string]int{}
	rounding := map[sectionKey]float64{} // full's errors
	for _, r := range records {
		if isBaseline(r) && r.Error != nil {
			rounding[keyOf(r)] = 2 * r.Error.RelL2
		}
	}
	for _, r := range records {
		p, ok := value(r)
		if !ok {
			continue
		}
		p.pipeline, p.style, p.bound = r.Pipeline, look[r.Pipeline], isBound(r)
		p.common = p.bound || isBaseline(r)
		p.other = !p.bound && (!competes(r) || r.Error != nil && r.Error.RelL2 <= rounding[keyOf(r)])
		k := name(r)
		i, ok := at[k]
		if !ok {
			i = len(all)
			at[k] = i
			all = append(all, series{style: p.style})
		}
		all[i].points = append(all[i].points, p)
	}
	for _, s := range all {
		slices.SortStableFunc(s.points, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	}
	slices.SortStableFunc(all, func(a, b series) int { return layerOf(a) - layerOf(b) })
	return all
}

// layerOf is 0 for series that are drawn below the rest.
func layerOf(s series) int {
	if s.points[0].bound {
		return 0
	}
	return 1
}

// xs are the x of all points.
func (p panel) xs() []float64 {
	var xs []float64
	for _, s := range p.series {
		for _, pt := range s.points {
			xs = append(xs, pt.x)
		}
	}
	return xs
}

// ys are the y of all points and the ends of their intervals.
func (p panel) ys() []float64 {
	var ys []float64
	for _, s := range p.series {
		for _, pt := range s.points {
			ys = append(ys, pt.y, pt.lo, pt.hi)
		}
	}
	return ys
}

// lengths are the sequence lengths of series, ascending.
func lengths(all []series) lengthTicks {
	var ns []int
	for _, s := range all {
		for _, p := range s.points {
			ns = append(ns, int(p.x))
		}
	}
	slices.Sort(ns)
	return slices.Compact(ns)
}
