package method

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// basis is the joint basis of the keys and values of all heads side by side: a token's latent row is
// c = U^T [k/rho ; v], and k is close to rho U_K c, v to U_V c.
type basis struct {
	u      *mat.Dense // [keys + values][columns], at most rank of them
	rank   int
	keys   int // channels of all heads' keys
	values int
	rho    float64
}

// unbalanced is the balance of a basis that takes keys and values as they are.
const unbalanced = 0

// newBasis fits on keys [n][keys] and values [n][values], not centred. rho balances their energies: the
// mean norm of a column of keys over that of values, divided by balance, as the converter of TransMLA has it.
func newBasis(k, v *mat.Dense, rank int, balance float64) basis {
	n, keys := k.Dims()
	_, values := v.Dims()
	b := basis{rank: rank, keys: keys, values: values, rho: 1}
	if balance > 0 {
		if kn, vn := meanNorm(k), meanNorm(v); kn > 0 && vn > 0 {
			b.rho = kn / vn / balance
		}
	}
	x := mat.NewDense(n, keys+values, nil)
	for i := range n {
		row := x.RawRowView(i)
		for c, f := range k.RawRowView(i) {
			row[c] = f / b.rho
		}
		copy(row[keys:], v.RawRowView(i))
	}
	b.u = principal(x, rank)
	return b
}

// meanNorm is the mean over columns of their norms.
func meanNorm(x *mat.Dense) float64 {
	rows, cols := x.Dims()
	squares := make([]float64, cols)
	for i := range rows {
		for c, f := range x.RawRowView(i) {
			squares[c] += f * f
		}
	}
	var sum float64
	for _, s := range squares {
		sum += math.Sqrt(s)
	}
	return sum / float64(cols)
}

// encoder makes the latent row from keys and values side by side.
func (b basis) encoder() latentRow {
	m := cache.NewMatrix(b.rank, b.keys+b.values)
	_, cols := b.u.Dims()
	for r := range cols {
		for c := range b.keys + b.values {
			x := b.u.At(c, r)
			if c < b.keys {
				x /= b.rho
			}
			m.Row(r)[c] = float32(x)
		}
	}
	return latentRow{m, make([]float32, b.keys+b.values)}
}

// key is [rank][hi-lo]: it turns a query of the keys' channels lo to hi into one of latent rows.
func (b basis) key(lo, hi int) cache.Matrix {
	m := cache.NewMatrix(b.rank, hi-lo)
	_, cols := b.u.Dims()
	for r := range cols {
		for c := lo; c < hi; c++ {
			m.Row(r)[c-lo] = float32(b.rho * b.u.At(c, r))
		}
	}
	return m
}

// value is [hi-lo][rank]: it turns a weighted sum of latent rows into one of the values' channels lo to hi.
func (b basis) value(lo, hi int) cache.Matrix {
	m := cache.NewMatrix(hi-lo, b.rank)
	_, cols := b.u.Dims()
	for c := lo; c < hi; c++ {
		for r := range cols {
			m.Row(c - lo)[r] = float32(b.u.At(b.keys+c, r))
		}
	}
	return m
}

// latentRow is the Map that encodes keys and values side by side.
type latentRow struct {
	encoder cache.Matrix // [rank][keys + values]
	side    []float32    // scratch: the keys of a token side by side, and its values
}

var _ cache.Map = latentRow{}

// Shape is one head whose row serves as key and as value.
func (m latentRow) Shape(cache.Shape) cache.Shape {
	return cache.Shape{Heads: 1, K: m.encoder.Rows, V: m.encoder.Rows, Latent: true}
}

// Row encodes.
func (m latentRow) Row(_ int, k, v, dstK, _ [][]float32) {
	at := 0
	for _, head := range k {
		at += copy(m.side[at:], head)
	}
	m.encode(at, v, dstK[0])
}

// encode makes the latent row of the keys that the scratch memory holds, channels in all, and of values.
func (m latentRow) encode(channels int, v [][]float32, dst []float32) {
	for _, head := range v {
		channels += copy(m.side[channels:], head)
	}
	m.encoder.Mul(m.side, dst)
}

var _ cache.BatchMap = latentRow{}

// Rows encodes.
func (m latentRow) Rows(pos []int32, k, v, dstK, _ [][]float32) {
	width := len(m.side)
	rows := make([]float32, len(pos)*width)
	at := besides(rows, width, 0, k)
	besides(rows, width, at, v)
	kernel.Multiply(rows, m.encoder.Data, width, dstK[0], m.encoder.Rows)
}

// besides copies the rows of some heads side by side into rows of width channels, from channel at on, and returns the
// channel behind them.
func besides(rows []float32, width, at int, heads [][]float32) int {
	n := len(rows) / width
	for _, head := range heads {
		dim := len(head) / n
		for i := range n {
			copy(rows[i*width+at:], head[i*dim:(i+1)*dim])
		}
		at += dim
	}
	return at
}

// Buffers is the encoder.
func (m latentRow) Buffers(dst [][]byte) [][]byte { return cache.MatrixBuffers(dst, m.encoder) }

// newAbsorbed is the map of rope=post: the keys go into the latent as they are cached, which needs nothing
// of the rotary embedding and is the best linear code of that rank for what a cache holds.
func newAbsorbed(on *cache.View, keys [][]float32, rank int, balance float64) cache.Linear {
	b := newBasis(sideBySide(keys, on.Dim, 1), sideBySide(on.V, on.VDim, 1), rank, balance)
	m := cache.Linear{Encode: b.encoder(), Group: on.Group(), Key: map[int][]cache.Matrix{}, Value: map[int][]cache.Matrix{}}
	var key, value []cache.Matrix
	for j := range on.Heads() {
		key = append(key, b.key(j*on.Dim, (j+1)*on.Dim))
		value = append(value, b.value(j*on.VDim, (j+1)*on.VDim))
	}
	for _, l := range on.Layers {
		m.Key[l], m.Value[l] = key, value
	}
	return m
}

// rebuilt is the map of rope=pre: the keys go into the latent before the rotary embedding, which
// concentrates their energy, and every step rebuilds and rotates the key of every entry.
type rebuilt struct {
	latentRow
	rope  kernel.Rope
	turns *kernel.RopeTable
	up    []cache.Matrix // [head] keys before the embedding, [dim][rank], from a latent row
	value []cache.Matrix // [head]
	group int
	dim   int
}

var _ cache.Rebuild = (*rebuilt)(nil)

func newRebuilt(on *cache.View, rank int, balance float64) *rebuilt {
	b := newBasis(sideBySide(unrotated(on), on.Dim, 1), sideBySide(on.V, on.VDim, 1), rank, balance)
	m := &rebuilt{
		latentRow: b.encoder(), rope: on.Rope, turns: kernel.NewRopeTable(on.Rope), group: on.Group(), dim: on.Dim,
	}
	for j := range on.Heads() {
		m.up = append(m.up, transposed(b.key(j*on.Dim, (j+1)*on.Dim)))
		m.value = append(m.value, b.value(j*on.VDim, (j+1)*on.VDim))
	}
	return m
}

// Row encodes the keys as they were before the rotary embedding.
func (m *rebuilt) Row(pos int, k, v, dstK, _ [][]float32) {
	for j, head := range k {
		plain := m.side[j*m.dim : (j+1)*m.dim]
		copy(plain, head)
		m.rope.Rotate(plain, -float64(pos))
	}
	m.encode(len(k)*m.dim, v, dstK[0])
}

// Rows encodes the keys as they were before the rotary embedding.
func (m *rebuilt) Rows(pos []int32, k, v, dstK, dstV [][]float32) {
	plain := make([][]float32, len(k))
	for j, head := range k {
		plain[j] = unrotatedHead(m.rope, head, pos)
	}
	m.latentRow.Rows(pos, plain, v, dstK, dstV)
}

// Query leaves the query as it is: it reads rebuilt keys.
func (m *rebuilt) Query(_, _, _ int, q, dst []float32) { copy(dst, q) }

// Output multiplies by the head's part of the basis.
func (m *rebuilt) Output(_, head int, u, dst []float32) { m.value[head/m.group].Mul(u, dst) }

// Keys rebuilds the keys of a block of entries.
func (m *rebuilt) Keys(_ int, pos []int32, rows []float32, dst [][]float32) {
	for j, up := range m.up {
		kernel.Multiply(rows, up.Data, up.Cols, dst[j], m.dim)
	}
	m.turns.Rotate(pos, dst, m.dim)
}

// Buffers is the matrices of keys, values and the encoder.
func (m *rebuilt) Buffers(dst [][]byte) [][]byte {
	return cache.MatrixBuffers(cache.MatrixBuffers(m.latentRow.Buffers(dst), m.up...), m.value...)
}

// transposed turns rows into columns.
func transposed(m cache.Matrix) cache.Matrix {
	t := cache.NewMatrix(m.Cols, m.Rows)
	for i := range m.Rows {
		for j, x := range m.Row(i) {
			t.Row(j)[i] = x
		}
	}
	return t
}

// unrotated returns every head's keys as they were before the rotary embedding.
func unrotated(on *cache.View) [][]float32 {
	var plain [][]float32
	for j, head := range on.K {
		plain = append(plain, unrotatedHead(on.Rope, head, on.Pos[j]))
	}
	return plain
}

// unrotatedHead returns the keys of tokens at positions pos, [tokens*dim], as they were before the rotary embedding.
func unrotatedHead(rope kernel.Rope, keys []float32, pos []int32) []float32 {
	plain, dim := slices.Clone(keys), len(keys)/max(1, len(pos))
	for i, p := range pos {
		rope.Rotate(plain[i*dim:(i+1)*dim], -float64(p))
	}
	return plain
}
