package cache

import "kvgauge/sim/kernel"

// Up is the Fold of a layer that caches latents by its model's own design, whose rows are latents as they come: one head's
// key and value at once. A query is projected to the latent's channels, but for those that read the shared part of the keys,
// and the weighted sum of latents to a value (DeepSeek-AI 2024, arXiv:2405.04434, appendix C). The weights are the model's
// and no bytes of a cache, but a step reads them and takes the time.
type Up struct {
	Key    []kernel.Rows // [query head] [rank] rows of the channels of a query that are projected
	Value  []kernel.Rows // [query head] [channels of a value] rows of rank
	Shared int           // channels of a query, the last, that read the shared part of a key
}

var _ Fold = Up{}

// Rank is the channels of a latent.
func (u Up) Rank() int { return u.Value[0].Dim }

// Shape is that of one latent with the shared part of the keys.
func (u Up) Shape(Shape) Shape {
	return Shape{Heads: 1, K: u.Rank() + u.Shared, V: u.Rank(), Latent: true}
}

// Row is the row as it comes.
func (u Up) Row(_ int, k, _, dstK, _ [][]float32) { copy(dstK[0], k[0]) }

// Query projects.
func (u Up) Query(_, head, _ int, q, dst []float32) { u.query(head, q, dst, nil) }

// Output projects.
func (u Up) Output(_, head int, sum, dst []float32) { u.output(head, sum, dst, nil) }

// query is Query with a worker's memory.
func (u Up) query(head int, q, dst []float32, s *kernel.Scratch) {
	m := &u.Key[head]
	multiply(m, q[:m.Dim], dst[:m.Len()], s)
	copy(dst[m.Len():], q[m.Dim:])
}

// output is Output with a worker's memory.
func (u Up) output(head int, sum, dst []float32, s *kernel.Scratch) {
	multiply(&u.Value[head], sum, dst, s)
}

// multiply writes the products of x with the rows of m.
func multiply(m *kernel.Rows, x, dst []float32, s *kernel.Scratch) {
	if s == nil {
		s = kernel.NewScratch(1, m.Dim)
	}
	kernel.Scores(x, m, 0, m.Len(), s, dst, len(dst))
}

// Buffers is the weights.
func (u Up) Buffers(dst [][]byte) [][]byte {
	for h := range u.Key {
		dst = u.Value[h].Buffers(u.Key[h].Buffers(dst))
	}
	return dst
}

// flops is what projecting the queries and outputs of all heads takes.
func (u Up) flops() (n int64) {
	for h := range u.Key {
		n += 2 * int64(u.Rank()) * int64(u.Key[h].Dim+u.Value[h].Len())
	}
	return n
}
