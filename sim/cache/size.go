package cache

import (
	"slices"

	"kvgauge/sim/kernel"
)

// Size is what a store holds without the rows themselves: all that its bytes follow from, where no value decides.
type Size struct {
	Layers int   // that make rows, and share the store
	QHeads int   // of one layer
	Shape  Shape // of a token's rows, as they are stored
	Rows   []int // [stored head] entries; in a Prompt too
	Uneven bool  // heads hold other numbers than Rows has, of the same sum
	Codec  Codec
	Notes  bool             // an entry has a word beside it
	Voters int              // layers whose queries are kept
	Window int              // queries kept of each query head, in f16
	Prompt PromptSize       // nil: rows of the prompt are stored as those that follow
	Index  func(Size) int64 // bytes of an index of the entries; nil: none
	Meta   int64            // bytes kept between steps besides
	Once   int64            // the same, once for all stores of the cache
}

// PromptSize is the size of a PromptStorage: the bytes of what it stores, and how many rows of each head it leaves to be
// stored as those that follow.
type PromptSize interface {
	Stored(s Size) int64
	Left(rows int) int
}

// NewSize is that of layers which keep rows entries of each head as they come, in a layout.
func NewSize(layers, qHeads int, shape Shape, rows int, l kernel.Layout) Size {
	return Size{
		Layers: layers, Voters: layers, QHeads: qHeads, Shape: shape, Codec: Codec{K: l, V: l},
		Rows: slices.Repeat([]int{rows}, shape.Heads),
	}
}

// Reshape gives the rows another shape. Where heads become others, all hold what the first did.
func (s *Size) Reshape(shape Shape) {
	if shape.Heads != s.Shape.Heads {
		s.Rows = slices.Repeat([]int{s.Rows[0]}, shape.Heads)
	}
	s.Shape = shape
}

// Keep leaves at most n entries in every head.
func (s *Size) Keep(n int) {
	for h, rows := range s.Rows {
		s.Rows[h] = min(rows, n)
	}
}

// Bytes is what Store.Bytes says of the store, MetaPerCache apart.
func (s Size) Bytes() int64 {
	n := s.Meta + 2*int64(s.Voters)*int64(s.QHeads)*int64(s.Window)*int64(s.Shape.K)
	tails := 1
	if s.Prompt != nil {
		n += s.Prompt.Stored(s)
		tails = s.Layers
	}
	of, each := -1, int64(0) // most heads hold as many rows as the one before
	for _, rows := range s.Rows {
		if s.Prompt != nil {
			rows = s.Prompt.Left(rows)
		}
		if rows != of {
			of, each = rows, s.entries(rows)
		}
		n += int64(tails) * each
	}
	if s.Index != nil {
		n += s.Index(s)
	}
	return n
}

// entries is what rows of one head take.
func (s Size) entries(rows int) int64 {
	n := s.Codec.K.Bytes(s.Shape.K, rows)
	if !s.Shape.Latent {
		n += s.Codec.V.Bytes(s.Shape.V, rows)
	}
	if s.Notes {
		n += 4 * int64(rows)
	}
	return n
}

// PruneSize is that of Prune.
type PruneSize struct {
	Channels int // of a key that stay
	Recent   int
}

// Stored is narrow keys, values and a bit a channel.
func (p PruneSize) Stored(s Size) int64 {
	n := int64(s.Shape.Heads) * int64((s.Shape.K+7)/8)
	for _, rows := range s.Rows {
		rows = max(0, rows-p.Recent)
		n += s.Codec.K.Bytes(p.Channels, rows) + s.Codec.V.Bytes(s.Shape.V, rows)
	}
	return n
}

// Left is the recent rows.
func (p PruneSize) Left(rows int) int { return min(rows, p.Recent) }

// SlerpSize is that of Slerp, of two layers that keep as many rows of keys as of values.
type SlerpSize struct {
	Kept func(rows int) int // of each head
}

// Stored is directions, two magnitudes of two bytes each, and the rows that are kept with an index of four.
func (p SlerpSize) Stored(s Size) int64 {
	var n int64
	for _, rows := range s.Rows {
		kept := p.Kept(rows)
		for _, side := range []struct {
			layout kernel.Layout
			dim    int
		}{{s.Codec.K, s.Shape.K}, {s.Codec.V, s.Shape.V}} {
			n += side.layout.Bytes(side.dim, rows) + 2*side.layout.Bytes(side.dim, kept) + 4*int64(rows) + 4*int64(kept)
		}
	}
	return n
}

// Left is none.
func (SlerpSize) Left(int) int { return 0 }

// JointSize is that of Joint.
type JointSize struct{ K, V int } // ranks

// Stored is latent rows, once for all heads, and the bases in f16.
func (p JointSize) Stored(s Size) int64 {
	rows, heads := s.Rows[0], s.Layers*s.Shape.Heads
	var n int64
	for _, side := range []struct {
		layout    kernel.Layout
		rank, dim int
	}{{s.Codec.K, p.K, s.Shape.K}, {s.Codec.V, p.V, s.Shape.V}} {
		rank := min(side.rank, rows, heads*side.dim) // that rows of that number can have
		n += side.layout.Bytes(rank, rows) + 2*int64(heads)*int64(rank)*int64(side.dim)
	}
	return n
}

// Left is none.
func (JointSize) Left(int) int { return 0 }

// Row is the bytes of a token's keys and of its values in all heads, as single rows are stored.
func (s Size) Row() (key, value int64) {
	heads := int64(s.Shape.Heads)
	if !s.Shape.Latent {
		value = heads * s.Codec.V.Bytes(s.Shape.V, 1)
	}
	return heads * s.Codec.K.Bytes(s.Shape.K, 1), value
}
