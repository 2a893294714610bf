package cache

import (
	"errors"
	"slices"

	"kvgauge/sim/kernel"
)

// PromptStorage stores rows of the prompt in another way than the rows that follow them: fewer channels, or one
// set of rows for several layers. What it leaves, and what is decoded, is stored as it comes; where the
// layers of a group did not merge, each has rows of its own of that.
type PromptStorage interface {
	// Encode encodes the first rows of each head of the prompt, as the decisions before left them. It reports
	// whether the formats could hold them.
	Encode(v *View, c Codec) (p StoredPrompt, finite bool)
}

// StoredPrompt is what a PromptStorage made. It takes no further rows.
type StoredPrompt interface {
	// Pos is the token positions of the rows of a stored head that it holds, in its own order. They are the
	// first rows of the view.
	Pos(head int) []int32
	// Ends are where runs of these rows end, ascending: rows of one run can be read together.
	Ends(head int) []int
	// Bytes is what they take, and Metadata the part of it that is not keys and values.
	Bytes() int64
	Metadata() int64
	// Read is how many bytes attention of one layer reads.
	Read(layer int) int64
	// FLOPs is how many floating-point operations one layer takes to make the rows again.
	FLOPs() int64
	// Prepare makes memory for so many workers, and for group query heads on a stored head.
	Prepare(workers, group int)
	// Attend computes the states of the query heads q [group][channels], scaled, over rows lo to hi of one run
	// of a stored head, at most kernel.Chunk, as a layer reads them. It allocates nothing.
	Attend(worker, layer, head, lo, hi int, q []float32, s *kernel.Scratch, out []kernel.Partial)
	// Buffers appends to dst the memory that attention reads.
	Buffers(dst [][]byte) [][]byte
	// Clone has rows of its own; it shares the memory of workers until Prepare makes other.
	Clone() StoredPrompt
}

var errPrompt = errors.New("a packed prompt goes with rows that stay, all read, in a format of single rows")

// promptRows is what a Store with a PromptStorage holds besides.
type promptRows struct {
	prompt StoredPrompt
	tails  [][]entries // [layer with rows of its own] the rows after the stored prompt
	layer  int         // that attends
}

// encodePrompt encodes the prompt by its storage and the rows that this leaves as they are, with room for those to come.
func (s *Store) encodePrompt(p PromptStorage, v *View, decode int) (longest int, err error) {
	if s.ring != nil || s.policy != nil || s.selector != nil || s.codec.grouped() || s.codec.HadamardK != nil || s.codec.HadamardV != nil {
		return 0, errPrompt
	}
	stored, ok := p.Encode(v, s.codec)
	if !ok {
		return 0, ErrRange
	}
	s.prompt = stored
	for i := range 1 + len(v.Peers) {
		k, val := v.K, v.V
		if i > 0 {
			k, val = v.Peers[i-1].K, v.Peers[i-1].V
		}
		var tail []entries
		for h := range k {
			rows, n := v.Rows(h), len(stored.Pos(h))
			longest = max(longest, rows+decode)
			e := s.newEntries(h, rows-n+decode, false)
			e.pos = append(append(make([]int32, 0, rows+decode), stored.Pos(h)...), v.Pos[h][n:]...)
			for r := n; r < rows; r++ {
				ok = e.append(k[h][r*v.Dim:(r+1)*v.Dim], val[h][r*v.VDim:(r+1)*v.VDim], s.shape) && ok
			}
			tail = append(tail, e)
		}
		s.tails = append(s.tails, tail)
	}
	if !ok {
		return 0, ErrRange
	}
	s.heads = s.tails[0]
	return longest, nil
}

// enter makes the rows of a layer those that the store works on, and reports whether the layer makes rows.
func (s *Store) enter(layer int) bool {
	s.layer = layer
	if len(s.tails) < 2 {
		return layer == s.layers[0]
	}
	s.heads = s.tails[slices.Index(s.layers, layer)]
	return true
}

// Producers is how many of the store's layers make rows of their own.
func (s *Store) Producers() int { return max(1, len(s.tails)) }

// cutPrompt appends the parts of the stored prompt of a head, and returns their number and that of the rows.
func (s *Store) cutPrompt(head int) (chunks, rows int) {
	if s.prompt == nil {
		return 0, 0
	}
	for _, end := range s.prompt.Ends(head) {
		chunks = s.cut(head, chunks, rows, end)
		rows = end
	}
	return chunks, rows
}

// eachHead calls visit for the rows of every stored head, in every layer that has rows of its own.
func (s *Store) eachHead(visit func(e *entries)) {
	tails := s.tails
	if tails == nil {
		tails = [][]entries{s.heads}
	}
	for _, heads := range tails {
		for h := range heads {
			visit(&heads[h])
		}
	}
}

// clonePrompt makes the stored prompt, and the rows after it, clones of those of o.
func (s *Store) clonePrompt(o *Store) {
	if o.prompt == nil {
		return
	}
	s.prompt, s.tails = o.prompt.Clone(), nil
	for _, heads := range o.tails {
		s.tails = append(s.tails, s.cloneEntries(heads))
	}
	s.heads = s.tails[0]
}

// promptPart computes the states of one chunk, of the stored prompt or of the rows after it.
func (s *Store) promptPart(worker, i int) {
	p := s.parts[i]
	e, group := &s.heads[p.head], s.qHeads/len(s.heads)
	q := s.q[p.head*group*s.shape.K:][:group*s.shape.K]
	out := s.states[(p.head*s.chunks+p.chunk)*group:][:group]
	n := len(s.prompt.Pos(p.head))
	s.bend(worker, p.head*group, group, e.pos[p.lo:p.hi])
	if p.lo < n {
		s.prompt.Attend(worker, s.layer, p.head, p.lo, p.hi, q, s.scratch[worker], out)
		return
	}
	kernel.Attend(q, &e.k, &e.v, p.lo-n, p.hi-n, nil, s.scratch[worker], out)
}
