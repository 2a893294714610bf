package method

import (
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
		Variants: []string{"dense=3,page=4", "page=4"},
		Combined: []string{
			"cla+quest:budget=30", "mla:rank=40+quest:budget=30", "snapkv+int8+quest:budget=30,page=4",
			"turboquant:qjl=on+quest:budget=30",
		},
		New: func(a Args) (Method, error) {
			return quest{a.Budget("budget"), a.Int("page"), a.Ints("dense")}, nil
		},
	})
}

// quest is query-aware selection of pages (Tang et al. 2024). It keeps, per page of entries and KV head, the largest
// and the smallest value of each channel of its keys. No logit of a page exceeds the sum over channels of the larger
// of q*max and q*min; each query head reads the pages with the largest of these bounds and no others, not even the
// current token's. Query heads of a group choose apart: what several of them read comes from memory once. Layers read
// in full keep the bounds too, as the official kernels do.
//
// Differs: where the budget holds all entries all are read; the evaluation code rounds the budget down to
// whole pages first, and may leave out the last.
type quest struct {
	budget Entries
	page   int
	dense  []int
}

// Fit refuses entries that move.
func (m quest) Fit(c Cell) (Cell, error) { return c, indexable(c) }

// Decide leaves the choice to the steps.
func (m quest) Decide(c Cell, _ *cache.View) (cache.Decision, error) {
	budget := m.budget.Of(c.SeqLen)
	return cache.Decision{
		Select:   questSelector{budget: budget, page: m.page, dense: m.dense},
		Warnings: aboveLength(budget, c.SeqLen, "sequence"),
	}, nil
}

// size is that of all entries and the bounds of their pages.
func (m quest) size(_ Cell, _ []int, s *cache.Size) error {
	s.Index = pageBoundsSize(kernel.Plain(kernel.F16), m.page)
	return nil
}

// questSelector reads budget entries in pages.
type questSelector struct {
	budget, page int
	dense        []int
}

// PerQueryHead is true.
func (questSelector) PerQueryHead() bool { return true }

// Index makes one without pages.
func (s questSelector) Index(heads, group, dim, longest int) cache.Index {
	b := newPageBounds(kernel.Plain(kernel.F16), s.page, heads, dim, longest)
	return &questIndex{
		questSelector: s, pageBounds: b, group: group, q: make([]float32, group*2*dim), scores: make([]float32, group*b.most),
		room: make([]float32, b.most), chosen: make([]int32, 0, b.most), scratch: kernel.NewScratch(group, 2*dim),
	}
}

// questIndex chooses by the bounds of the pages.
type questIndex struct {
	questSelector
	pageBounds

	group        int
	q            []float32 // scratch: the queries of a group as they read bounds
	scores, room []float32 // scratch: [query head of the group][page]; [page]
	chosen       []int32
	scratch      *kernel.Scratch
}

// Select reads everything in dense layers, and the best pages in the others.
func (x *questIndex) Select(r *cache.Reading) {
	if slices.Contains(x.dense, r.Layer) || slices.Max(x.entries) <= x.budget {
		r.All = true
		return
	}
	for j := range x.rows {
		b := &x.rows[j]
		pages := b.Len()
		for g := range x.group {
			q := r.Q[(j*x.group+g)*x.dim : (j*x.group+g+1)*x.dim]
			signed(q, x.q[g*2*x.dim:(g+1)*2*x.dim])
		}
		kernel.Scores(x.q, b, 0, pages, x.scratch, x.scores, x.most)
		r.Bytes += b.Bytes()
		for g := range x.group {
			x.chosen = appendTopK(x.scores[g*x.most:g*x.most+pages], x.count(x.entries[j]), x.room, x.chosen[:0])
			r.Selected[j*x.group+g] = x.pick(j, x.chosen, r.Selected[j*x.group+g])
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

// CopyFrom copies the bounds.
func (x *questIndex) CopyFrom(o cache.Index) { x.copyFrom(&o.(*questIndex).pageBounds) }
