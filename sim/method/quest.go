package method

import (
	"errors"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

func init() {
	Register(Info{
		Name: "quest", Family: Selection,
		Summary: "reads the pages whose keys could match each query best; drops nothing",
		Reduces: "reads",
		Paper:   "Tang et al. 2024, arXiv:2406.10774, section 3, algorithm 1",
		Code:    "mit-han-lab/Quest evaluation/quest_attention.py (local_heavy_hitter_mask, forward)",
		Params: []Param{
			{Name: "budget", Kind: Budget, Auto: "--budget", Help: "entries that each query head reads, at least three pages"},
			{Name: "page", Default: "16", Min: 1, Max: 1 << 20, Help: "entries of a page"},
			{Name: "dense", Kind: List, Default: "0/1", Max: 1 << 20, Help: "layers read in full"},
		},
		New: func(a Args) (Method, error) {
			return quest{a.Budget("budget"), a.Int("page"), a.Ints("dense")}, nil
		},
	})
}

// quest keeps, per page of entries and KV head, the largest and the smallest value of each channel of its keys.
// No logit of a page exceeds the sum over channels of the larger of q*max and q*min; each query head reads the
// pages with the largest of these bounds and no others, not even the current token's. Query heads of a
// group choose apart: what several of them read comes from memory once. Layers read in full keep the bounds
// too, as the official kernels do.
//
// Differs: where the budget holds all entries all are read; the evaluation code rounds the budget down to
// whole pages first, and may leave out the last.
type quest struct {
	budget Entries
	page   int
	dense  []int
}

var _ Method = quest{}

// Fit refuses entries that move.
func (m quest) Fit(c Cell) (Cell, error) {
	return c, still(c)
}

// still says why an index of the entries cannot be kept.
func still(c Cell) error {
	switch {
	case c.Moving:
		return errors.New("keeps an index of the entries, which must not move: the stage before drops or overwrites entries while decoding")
	case c.Packed:
		return errors.New("keeps an index of the keys, but those of the prompt are packed")
	case c.Grouped:
		return errors.New("reads single rows, but rows share scales or wait to be packed")
	}
	return nil
}

// Decide leaves the choice to the steps.
func (m quest) Decide(c Cell, _ *cache.View) (cache.Decision, error) {
	budget := m.budget.Of(c.SeqLen)
	return cache.Decision{
		Select:   questSelector{budget: budget, page: m.page, dense: m.dense},
		Warnings: aboveLength(budget, c.SeqLen, "sequence"),
	}, nil
}

// questSelector reads budget entries in pages.
type questSelector struct {
	budget, page int
	dense        []int
}

var _ cache.Selector = questSelector{}

// PerQueryHead is true.
func (questSelector) PerQueryHead() bool { return true }

// Index makes one without pages.
func (s questSelector) Index(heads, group, dim, longest int) cache.Index {
	pages := (longest + s.page - 1) / s.page
	x := &questIndex{
		questSelector: s, bounds: make([]kernel.Rows, heads), entries: make([]int, heads), group: group, dim: dim,
		row: make([]float32, 2*dim), q: make([]float32, group*2*dim), scores: make([]float32, group*pages),
		room: make([]float32, pages), chosen: make([]int32, 0, pages), pages: pages, scratch: kernel.NewScratch(group, 2*dim),
	}
	for j := range x.bounds {
		x.bounds[j] = kernel.NewRows(kernel.F16, 2*dim, pages)
	}
	return x
}

// questIndex holds the bounds of the pages.
type questIndex struct {
	questSelector
	bounds  []kernel.Rows // [head] a page's row: the largest value of each channel, then the smallest
	entries []int         // [head]

	group, dim, pages int
	row, q            []float32 // scratch: a page's row; the queries of a group as they read such rows
	scores, room      []float32 // scratch: [query head of the group][page]; [page]
	chosen            []int32
	scratch           *kernel.Scratch
}

var _ cache.Index = (*questIndex)(nil)

// Append widens the bounds of a head's last page, or starts one.
func (x *questIndex) Append(head int, key []float32) {
	b := &x.bounds[head]
	high, low := x.row[:x.dim], x.row[x.dim:]
	fresh := x.entries[head]%x.page == 0
	x.entries[head]++
	if fresh {
		copy(high, key)
		copy(low, key)
		b.Append(x.row)
		return
	}
	b.Row(b.Len()-1, x.row)
	for d, k := range key {
		high[d], low[d] = max(high[d], k), min(low[d], k)
	}
	b.Set(b.Len()-1, x.row)
}

// Select reads everything in dense layers, and the best pages in the others.
func (x *questIndex) Select(r *cache.Reading) {
	if slices.Contains(x.dense, r.Layer) || slices.Max(x.entries) <= x.budget {
		r.All = true
		return
	}
	for j := range x.bounds {
		b := &x.bounds[j]
		pages := b.Len()
		for g := range x.group {
			q := r.Q[(j*x.group+g)*x.dim : (j*x.group+g+1)*x.dim]
			signed(q, x.q[g*2*x.dim:(g+1)*2*x.dim])
		}
		kernel.Scores(x.q, b, 0, pages, x.scratch, x.scores, x.pages)
		r.Bytes += b.Bytes()
		for g := range x.group {
			x.chosen = largest(x.scores[g*x.pages:g*x.pages+pages], x.count(x.entries[j]), x.room, x.chosen[:0])
			picks := &r.Picks[j*x.group+g]
			for _, p := range x.chosen {
				for i := int(p) * x.page; i < min(x.entries[j], (int(p)+1)*x.page); i++ {
					*picks = append(*picks, int32(i))
				}
			}
		}
	}
}

// count is how many pages a query head reads of so many entries.
func (x *questIndex) count(entries int) int {
	if entries <= x.budget {
		return entries
	}
	return max(3, x.budget/x.page)
}

// signed writes the positive part of a query and then the negative part, whose product with a page's row is the
// bound.
func signed(q, dst []float32) {
	for d, v := range q {
		dst[d], dst[len(q)+d] = max(v, 0), min(v, 0)
	}
}

// Bytes is what the bounds take.
func (x *questIndex) Bytes() int64 {
	var n int64
	for j := range x.bounds {
		n += x.bounds[j].Bytes()
	}
	return n
}

// CopyFrom copies the bounds.
func (x *questIndex) CopyFrom(o cache.Index) {
	from := o.(*questIndex)
	copy(x.entries, from.entries)
	for j := range x.bounds {
		x.bounds[j].CopyFrom(&from.bounds[j])
	}
}
