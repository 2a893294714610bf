package sim

import (
	"cmp"
	"slices"
)

// positions returns the places of the shard's cells in a plan, ascending. Every machine that lays out the
// same plan splits it the same way: expected costs are whole numbers, of traces and options alone.
//
// The dearest cell goes first, each to the shard that would end earliest with it. A shard's first cell of
// a trace and length also pays for their reference, so cells that share one stay together where that does
// not delay the end.
func (s Shard) positions(cells []Cell) []int {
	order := make([]int, len(cells))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(cells[b].Work, cells[a].Work) })
	load := make([]int64, s.Count)
	has := make([]map[referenceKey]bool, s.Count)
	for i := range has {
		has[i] = map[referenceKey]bool{}
	}
	mine := []int{}
	for _, i := range order {
		c := cells[i]
		ref := c.reference()
		with := func(shard int) int64 {
			if has[shard][ref] {
				return load[shard] + c.Work
			}
			return load[shard] + c.Work + c.Reference
		}
		best := 0
		for shard := range s.Count {
			if with(shard) < with(best) {
				best = shard
			}
		}
		if c.Work > 0 {
			load[best] = with(best)
			has[best][ref] = true
		}
		if best == s.Index {
			mine = append(mine, i)
		}
	}
	slices.Sort(mine)
	return mine
}
