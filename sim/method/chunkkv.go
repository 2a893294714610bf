package method

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/floats"

	"kvgauge/sim/cache"
)

func init() {
	Register(Info{
		Name: "chunkkv", Family: Eviction,
		Summary: "whole chunks of neighbouring prompt entries, by snapkv's scores summed over the heads of a layer",
		Reduces: "entries",
		Paper:   "Liu et al. 2025, arXiv:2502.00299",
		Code:    "NVIDIA/kvpress kvpress/presses/chunkkv_press.py",
		Params: append(observationParams(),
			Param{Name: "chunk", Default: "20", Min: 1, Max: 1 << 20, Help: "tokens of a chunk"},
		),
		Variants: []string{"chunk=7", "chunk=4,window=5"},
		New:      func(a Args) (Method, error) { return chunkKV{newObservation(a), a.Int("chunk")}, nil },
	})
}

// chunkKV is eviction of whole chunks (Liu et al. 2025): it keeps the same chunks in all heads of a layer. What is
// left after the last whole chunk competes by its own mean, and chunks are counted, not entries: a layer holds up to
// a chunk less than its budget, and never less than one chunk. A prompt below one chunk is reduced as snapkv would.
//
// Differs from the paper, as kvpress does: the window has the highest scores but is not protected, and no
// layer reuses the chunks of another.
type chunkKV struct {
	observation
	chunk int
}

// Decide keeps the best chunks.
func (m chunkKV) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	budget, rows := m.budget.Of(c.SeqLen), v.Rows(0)
	d := m.stored(v)
	d.Warnings = aboveLength(budget, rows, "prompt")
	if budget >= rows {
		return d, nil
	}
	if rows < m.chunk {
		return m.decide(c, v, budget), nil
	}
	scores := m.padded(c, v)
	chunks := m.means(scores, rows)
	count := int(m.budget.kvpress(c.SeqLen, len(chunks), rows))
	if count == 0 {
		d.Warnings = append(d.Warnings, cache.Warning{
			Code: "clamped",
			Text: fmt.Sprintf("budget of %d entries is below a chunk's share of %d: one chunk is kept", budget, m.chunk),
		})
	}
	var keep []int32
	for _, n := range topK(chunks, max(1, count)) {
		keep = append(keep, span(int(n)*m.chunk, min((int(n)+1)*m.chunk, rows))...)
	}
	d.Keep = slices.Repeat([][]int32{keep}, len(scores))
	return d, nil
}

// size is that of the chunks that are kept. The last may be shorter, and stays for certain only where its mean score is
// higher than that of any chunk before the window, and as many chunks are kept as the window reaches into.
func (m chunkKV) size(c Cell, _ []int, s *cache.Size) error {
	budget, rows := m.budget.Of(c.SeqLen), s.Rows[0]
	switch {
	case budget >= rows:
		return nil
	case rows < m.chunk:
		s.Keep(budget)
		return nil
	}
	chunks := (rows + m.chunk - 1) / m.chunk
	count := max(1, int(m.budget.kvpress(c.SeqLen, chunks, rows)))
	last := rows - (chunks-1)*m.chunk
	if last < m.chunk {
		reached := chunks - (rows-m.window)/m.chunk
		// A score is at most most, that of the window's rows one more than the largest.
		most := 1.0
		if m.agg == "sum" && !m.query {
			most = float64(c.QHeads / c.Heads)
		}
		if count < reached || float64(min(m.window, last))*(most+1) <= most*float64(last) {
			return ErrContent
		}
		count--
	} else {
		last = 0
	}
	s.Keep(count*m.chunk + last)
	return nil
}

// means returns the mean of each chunk's scores, [stored head][rows] summed over heads. The mean of equal scores is
// exactly that score, so that chunks within the window tie, whatever their lengths.
func (m chunkKV) means(scores [][]float64, rows int) []float64 {
	sums := make([]float64, rows)
	for _, head := range scores {
		floats.Add(sums, head)
	}
	var means []float64
	for chunk := range slices.Chunk(sums, m.chunk) {
		mean := chunk[0]
		for _, x := range chunk {
			mean += (x - chunk[0]) / float64(len(chunk))
		}
		means = append(means, mean)
	}
	return means
}
