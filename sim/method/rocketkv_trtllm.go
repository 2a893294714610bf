package method

import (
	"math"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// rocketTRT is RocketKV as TensorRT-LLM's own attention backend has it: the prompt keeps the budget, however many
// tokens are decoded, and every step chooses pages, whatever the length of the prompt. The window's queries spread
// their probability over the keys before the window alone.
//
// Differs: where pages do not divide what the prompt keeps, the code counts zeros among the keys of its last page.
type rocketTRT struct {
	prompt observation
	read   rocketPages
}

var _ tuner = rocketTRT{}

// settings are the budgets up to the prompt.
func (rocketTRT) settings(c Cell) []string { return integers(1, c.Prompt()) }

// Fit refuses entries that move or are gone, and what an observation does.
func (m rocketTRT) Fit(c Cell) (Cell, error) {
	if err := onlyEviction(c); err != nil {
		return c, err
	}
	return m.prompt.Fit(c)
}

// Decide evicts and leaves the choice to the steps.
func (m rocketTRT) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget := m.prompt.budget.Of(c.SeqLen)
	d := m.prompt.decide(c, v, budget)
	d.Select = m.read
	d.Warnings = aboveLength(budget, c.Prompt(), "prompt")
	return d, nil
}

// size is that of the budget and the bounds of its pages.
func (m rocketTRT) size(c Cell, _ []int, s *cache.Size) error {
	s.Keep(m.prompt.budget.Of(c.SeqLen))
	s.Index = pageBoundsSize(rocketBounds(), m.read.page)
	return nil
}

// rocketBounds is how bounds of pages are stored.
func rocketBounds() kernel.Layout { return kernel.Blockwise(kernel.FP8(true, kernel.NoScale)) }

// rocketPages reads the pages with the best estimates.
type rocketPages struct {
	page     int // entries
	top      int // pages that a step reads
	channels int // of the queries that an estimate counts
}

// PerQueryHead is false: one set per KV head.
func (rocketPages) PerQueryHead() bool { return false }

// Index makes one without pages.
func (s rocketPages) Index(heads, group, dim, longest int) cache.Index {
	e5m2 := rocketBounds()
	b := newPageBounds(e5m2, s.page, heads, dim, longest)
	stride := (b.most + 15) &^ 15
	x := &rocketPageIndex{
		rocketPages: s, pageBounds: b, group: group, stride: stride, weight: make([]float32, dim), room: make([]float32, max(dim, b.most)),
		chosen: make([]int32, 0, max(dim, b.most)), q: make([]float32, group*2*dim), cast: e5m2.Rows(2*dim, 1),
		estimates: make([]float32, group*stride), mean: make([]float32, b.most), scratch: kernel.NewScratch(group, 2*dim),
		largest: make([]float32, 1), inverse: []float32{1},
	}
	x.cast.Append(x.q[:2*dim])
	return x
}

// rocketPageIndex chooses by the bounds of the pages, a byte a channel and bound.
type rocketPageIndex struct {
	rocketPages
	pageBounds

	group, stride    int
	weight, room     []float32   // scratch: [channel]; [channel or page]
	chosen           []int32     // channels, then pages
	q                []float32   // scratch: [query head of the group][2*dim] as they read bounds
	cast             kernel.Rows // scratch: a query rounded as the bounds are
	estimates, mean  []float32   // scratch: [query head of the group][stride]; [page]
	scratch          *kernel.Scratch
	largest, inverse []float32
}

// Select reads all bounds, and the best pages of each head. The code leaves channels out of the queries, not of
// what it reads.
func (x *rocketPageIndex) Select(r *cache.Reading) {
	r.All = true
	for j := range x.rows {
		r.Bytes += x.rows[j].Bytes()
		r.All = r.All && x.rows[j].Len() <= x.top
	}
	if r.All {
		return
	}
	for j := range x.rows {
		x.point(r.Q[j*x.group*x.dim : (j+1)*x.group*x.dim])
		n := x.rows[j].Len()
		kernel.Scores(x.q, &x.rows[j], 0, n, x.scratch, x.estimates, x.stride)
		mean := x.mean[:n]
		clear(mean)
		for g := range x.group {
			p := x.estimates[g*x.stride : g*x.stride+n]
			addSoftmax(p, x.largest, x.inverse, mean)
		}
		x.chosen = appendTopK(mean, x.top, x.room, x.chosen[:0])
		r.Selected[j] = x.pick(j, x.chosen, r.Selected[j])
	}
}

// point lays a group's queries out so that their product with a page's row is an estimate. The channels that
// count are those with the largest sum of |q| over the group; in each the bound counts that the sum of q points
// to. Queries are rounded before the softmax scale, which is taken to be that of the channels.
func (x *rocketPageIndex) point(q []float32) {
	magnitudes(x.weight, q)
	x.chosen = appendTopK(x.weight, x.channels, x.room, x.chosen[:0])
	scale := float32(math.Sqrt(float64(x.dim)))
	for g := range x.group {
		clear(x.row)
		for _, d := range x.chosen {
			x.row[x.bound(q, int(d))] = q[g*x.dim+int(d)] * scale
		}
		out := x.q[g*2*x.dim : (g+1)*2*x.dim]
		x.cast.Set(0, x.row)
		x.cast.Row(0, out)
		for i := range out {
			out[i] /= scale
		}
	}
}

// bound is where a page's row has the bound of channel d that a group's queries point to.
func (x *rocketPageIndex) bound(q []float32, d int) int {
	if sumOver(q, x.dim, d) > 0 {
		return d
	}
	return x.dim + d
}

// CopyFrom copies the bounds.
func (x *rocketPageIndex) CopyFrom(o cache.Index) { x.copyFrom(&o.(*rocketPageIndex).pageBounds) }
