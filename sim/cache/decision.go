package cache

// Decision is what one pipeline stage made of its View.
type Decision struct {
	Keep [][]int32 // [stored head] rows of the view to keep, ascending and ragged; nil keeps all
	Map  Map       // of every row, the decoded ones too; nil leaves them as they are
	Ring *Ring     // a fixed number of entries while decoding; nil grows

	MetaPerCache int // bytes that the method must keep between steps, once for all layers
	Warnings     []Warning
}

// Warning says where a method did something other than its name promises.
type Warning struct{ Code, Text string }

// Map makes the rows that are stored from the KV rows of a token.
type Map interface {
	// Heads is how many heads are stored.
	Heads() int
	// Row computes the stored rows of the token at position pos: from k, v [heads before][dim] into
	// dstK, dstV [Heads][dim].
	Row(pos int, k, v, dstK, dstV [][]float32)
}

// Pool is the Map whose stored head is the mean of some of the heads before it.
type Pool struct {
	Of [][]int // [stored head] indices of the heads that are averaged; one index copies
}

var _ Map = Pool{}

// Heads is how many heads are stored.
func (p Pool) Heads() int { return len(p.Of) }

// Row averages the rows of each group of heads.
func (p Pool) Row(_ int, k, v, dstK, dstV [][]float32) {
	for c, group := range p.Of {
		mean(dstK[c], k, group)
		mean(dstV[c], v, group)
	}
}

// mean writes the average of the rows named by group, in their order.
func mean(dst []float32, rows [][]float32, group []int) {
	copy(dst, rows[group[0]])
	if len(group) == 1 {
		return
	}
	for _, j := range group[1:] {
		for c, x := range rows[j] {
			dst[c] += x
		}
	}
	for c := range dst {
		dst[c] /= float32(len(group))
	}
}

// Ring bounds the entries of each head: the first Sinks stay, and once Capacity entries are held each
// further one overwrites the oldest of the rest. Its write index is derived from the number of tokens
// appended, which is what a server keeps once for the whole cache.
type Ring struct {
	Sinks, Capacity int
	// Roll moves the sinks next to the other entries in position: keys are rotated as if the entries
	// stood at 0, 1, ... in the cache and the query at the last of them.
	Roll bool
}
