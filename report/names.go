package report

import (
	"cmp"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// nameWidth is the widest name in a panel.
const nameWidth = vg.Length(120)

// away is how far the name of a point on the front may stand from its marker, step by step. Other points have a name
// only where there is room beside them.
var (
	beside = []vg.Length{6}
	away   = []vg.Length{6, 12, 20, 30, 42, 56, 72, 90, 110}
)

// pointName is a name beside a point.
type pointName struct {
	text   string
	style  text.Style
	at     vg.Point   // its top left corner
	leader []vg.Point // the line from its point, none where it stands close by
}

var nameLine = draw.LineStyle{Color: color.Gray{0x60}, Width: vg.Points(0.5)}

// placeNames finds places for the names of points beside their markers, those of the front first, so that none covers
// another name or the edge of the axes, nor a marker where there is room elsewhere.
func (p panel) placeNames(c draw.Canvas, points []point, at []vg.Point, x, y func(float64) vg.Length) []pointName {
	bold, label := textStyle(7.5, true, color.Black), textStyle(7, false, color.Gray{0x50})
	onFront := make([]bool, len(points))
	order := make([]int, len(points))
	for i, pt := range points {
		order[i] = i
		onFront[i] = !pt.bound && slices.ContainsFunc(p.front, func(f point) bool { return f.x == pt.x && f.y == pt.y })
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if onFront[a] != onFront[b] {
			if onFront[a] {
				return -1
			}
			return 1
		}
		return cmp.Compare(points[a].x, points[b].x)
	})
	room := newRoom(c, at, stairs(p.front, x, y))
	short := shortNames(points)
	var names []pointName
	for _, i := range order {
		sty, reach := label, beside
		if onFront[i] {
			sty, reach = bold, away
		}
		name := shorten(sty, oneLine(short[points[i].pipeline]), nameWidth)
		box, ok := room.place(at[i], i, nameBox(sty, name), reach)
		if !ok {
			continue
		}
		n := pointName{text: name, style: sty, at: vg.Point{X: box.Min.X + 1, Y: box.Max.Y - 1}}
		if to := nearest(box, at[i]); distance(to, at[i]) > 9 {
			n.leader = []vg.Point{at[i], to}
		}
		names = append(names, n)
	}
	return names
}

// nearest is the point of a box that is nearest to another.
func nearest(box vg.Rectangle, to vg.Point) vg.Point {
	return vg.Point{X: min(max(to.X, box.Min.X), box.Max.X), Y: min(max(to.Y, box.Min.Y), box.Max.Y)}
}

// shortNames are the pipelines' names, without budgets where a method has one of them.
func shortNames(points []point) map[string]string {
	budgets := map[string]map[string]bool{}
	for _, p := range points {
		curve := curveOf(p.pipeline)
		if budgets[curve] == nil {
			budgets[curve] = map[string]bool{}
		}
		budgets[curve][p.pipeline] = true
	}
	names := map[string]string{}
	for _, p := range points {
		names[p.pipeline] = p.pipeline
		if curve := curveOf(p.pipeline); len(budgets[curve]) == 1 {
			names[p.pipeline] = curve
		}
	}
	return names
}

// nameBox is the size of a name, with a margin of a point.
func nameBox(sty text.Style, name string) vg.Point {
	return vg.Point{X: sty.Width(name) + 2, Y: 1.05*sty.Font.Size + 2}
}

func distance(a, b vg.Point) vg.Length {
	return vg.Length(math.Hypot(float64(a.X-b.X), float64(a.Y-b.Y)))
}

// room is what names must leave free.
type room struct {
	area    vg.Rectangle
	markers []vg.Rectangle
	names   []vg.Rectangle
	leaders [][2]vg.Point // lines from points to their names
	front   []vg.Point
}

func newRoom(c draw.Canvas, markers []vg.Point, front []vg.Point) *room {
	r := &room{area: c.Rectangle, front: front}
	for _, m := range markers {
		r.markers = append(r.markers, vg.Rectangle{Min: vg.Point{X: m.X - 3.5, Y: m.Y - 3.5}, Max: vg.Point{X: m.X + 3.5, Y: m.Y + 3.5}})
	}
	return r
}

// place finds the best box of a size for the name of the i-th marker, and takes it: one that covers no other name and
// no marker, or else the least. Only names that may stand far from their points may cover markers.
func (r *room) place(at vg.Point, i int, size vg.Point, reach []vg.Length) (vg.Rectangle, bool) {
	best, least, found := vg.Rectangle{}, math.Inf(1), false
	for _, d := range reach {
		for k := range 16 {
			angle := float64(k) * math.Pi / 8
			dx, dy := vg.Length(math.Cos(angle)), vg.Length(math.Sin(angle))
			// The point of the box that is nearest to the marker stands at the distance.
			corner := vg.Point{X: at.X + d*dx - size.X/2 + dx*size.X/2, Y: at.Y + d*dy - size.Y/2 + dy*size.Y/2}
			box := vg.Rectangle{Min: corner, Max: vg.Point{X: corner.X + size.X, Y: corner.Y + size.Y}}
			cost, ok := r.cost(at, i, box)
			cost += float64(d) / 8
			if ok && cost < least && (len(reach) > 1 || cost < 1) {
				best, least, found = box, cost, true
			}
		}
	}
	if found {
		r.names = append(r.names, best)
		r.leaders = append(r.leaders, [2]vg.Point{at, nearest(best, at)})
	}
	return best, found
}

// cost is what a box covers: a marker costs more than a line of the front. It says no where the box is out of the area,
// covers a name or a line to one, or where its own line would cross a name.
func (r *room) cost(at vg.Point, own int, box vg.Rectangle) (float64, bool) {
	if box.Min.X < r.area.Min.X+1 || box.Max.X > r.area.Max.X || box.Min.Y < r.area.Min.Y+1 || box.Max.Y > r.area.Max.Y {
		return 0, false
	}
	to := nearest(box, at)
	for _, n := range r.names {
		if covers(box, n) || crosses(at, to, n) {
			return 0, false
		}
	}
	for _, l := range r.leaders {
		if crosses(l[0], l[1], box) {
			return 0, false
		}
	}
	cost := 0.0
	for i, m := range r.markers {
		if i != own && covers(box, m) {
			cost += 3
		}
	}
	for i := 1; i < len(r.front); i++ {
		if crosses(r.front[i-1], r.front[i], box) {
			cost += 0.8
		}
	}
	return cost, true
}

func covers(a, b vg.Rectangle) bool {
	return a.Min.X < b.Max.X && b.Min.X < a.Max.X && a.Min.Y < b.Max.Y && b.Min.Y < a.Max.Y
}

// crosses says whether the line from a to b goes through a box.
func crosses(a, b vg.Point, box vg.Rectangle) bool {
	from, to := 0.0, 1.0
	for _, side := range [][3]vg.Length{{b.X - a.X, box.Min.X - a.X, box.Max.X - a.X}, {b.Y - a.Y, box.Min.Y - a.Y, box.Max.Y - a.Y}} {
		d, low, high := float64(side[0]), float64(side[1]), float64(side[2])
		if d == 0 {
			if low > 0 || high < 0 {
				return false
			}
			continue
		}
		t, u := low/d, high/d
		from, to = max(from, min(t, u)), min(to, max(t, u))
	}
	return from < to
}
