package method

import (
	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// pageBounds holds, for each page of consecutive entries of a head, the largest and the smallest value of each
// channel of its keys.
type pageBounds struct {
	size    int           // entries of a page
	rows    []kernel.Rows // [head] a page's row: the largest values, then the smallest
	entries []int         // [head]

	dim, most int       // channels of a key; pages of a head at most
	row       []float32 // scratch: a page's row
}

// newPageBounds makes one without pages, whose rows lie as the layout says.
func newPageBounds(l kernel.Layout, size, heads, dim, longest int) pageBounds {
	b := pageBounds{size: size, rows: make([]kernel.Rows, heads), entries: make([]int, heads), dim: dim, most: (longest + size - 1) / size, row: make([]float32, 2*dim)}
	for j := range b.rows {
		b.rows[j] = l.Rows(2*dim, b.most)
	}
	return b
}

// Append widens the bounds of a head's last page, or starts one.
func (b *pageBounds) Append(head int, key []float32) {
	rows := &b.rows[head]
	high, low := b.row[:b.dim], b.row[b.dim:]
	fresh := b.entries[head]%b.size == 0
	b.entries[head]++
	if fresh {
		copy(high, key)
		copy(low, key)
		rows.Append(b.row)
		return
	}
	rows.Row(rows.Len()-1, b.row)
	for d, k := range key {
		high[d], low[d] = max(high[d], k), min(low[d], k)
	}
	rows.Set(rows.Len()-1, b.row)
}

// pick appends the entries of some pages of a head.
func (b *pageBounds) pick(head int, pages, picks []int32) []int32 {
	for _, p := range pages {
		for i := int(p) * b.size; i < min(b.entries[head], (int(p)+1)*b.size); i++ {
			picks = append(picks, int32(i))
		}
	}
	return picks
}

// Bytes is what the bounds take.
func (b *pageBounds) Bytes() int64 {
	var n int64
	for j := range b.rows {
		n += b.rows[j].Bytes()
	}
	return n
}

// pageBoundsSize is Bytes of heads of so many entries.
func pageBoundsSize(l kernel.Layout, size int) func(cache.Size) int64 {
	return func(s cache.Size) int64 {
		var n int64
		for _, rows := range s.Rows {
			n += l.Bytes(2*s.Shape.K, (rows+size-1)/size)
		}
		return n
	}
}

// Buffers is the bounds.
func (b *pageBounds) Buffers(dst [][]byte) [][]byte {
	for j := range b.rows {
		dst = b.rows[j].Buffers(dst)
	}
	return dst
}

// copyFrom copies the bounds of others of the same sizes.
func (b *pageBounds) copyFrom(o *pageBounds) {
	copy(b.entries, o.entries)
	for j := range b.rows {
		b.rows[j].CopyFrom(&o.rows[j])
	}
}
