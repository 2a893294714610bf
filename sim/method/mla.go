package method

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/spectral"
)

func init() {
	Register(Info{
		Name: "mla", Family: Latent,
		Summary: "one latent row per token and layer, from which every head reads its keys and values",
		Reduces: "rank",
		Paper:   "DeepSeek-AI 2024, arXiv:2405.04434, section 2.1; conversion: TransMLA, arXiv:2502.07864, MHA2MLA, arXiv:2502.14837, Palu, arXiv:2407.21118",
		Code:    "fxmeng/TransMLA transmla/transformers (decoupled); JT-Ushio/MHA2MLA (partial)",
		Params: []Param{
			{Name: "rank", Min: 1, Max: 1 << 20, Auto: "4.5 head_dim together with what keeps its rotary embedding", Help: "channels of the latent row"},
			{Name: "rope", Kind: Choice, Default: "post", Choices: []string{"post", "pre", "decoupled", "partial"}, Help: "keys in the latent: as cached; before the rotary embedding and rebuilt at each step; or with the embedding kept on rope_dim shared dimensions, or on those of every KV head, and removed from the rest"},
			{Name: "rope_dim", Min: 2, Max: 1 << 20, Auto: "decoupled: head_dim/2; partial: head_dim/8 a KV head", Help: "dimensions that keep the embedding"},
			{Name: "pairs", Kind: Choice, Default: "high", Choices: []string{"high", "low", "uniform", "2-norm"}, Help: "partial: the frequencies that keep it"},
			{Name: "balance", Kind: Real, Default: "1", Help: "weight of values against keys in the basis"},
		},
		Knob: "rank",
		Seed: []string{"mla"},
		Variants: []string{
			"rank=40", "rank=40,rope=pre", "rank=40,rope=decoupled", "rank=40,rope=partial",
			"pairs=2-norm,rank=40,rope=partial",
		},
		Combined: []string{"cla+mla:rank=40"},
		Traits:   where("rank", "", Large),
		New:      newMLA,
	})
}

// mla is multi-head latent attention (DeepSeek-AI 2024): it converts a model by the basis that holds most of the
// energy of its keys and values side by side, fitted on a calibration text: the optimum for that text, not what a
// model trained with latents would have. Queries and outputs absorb the basis, so that a step scores and weighs the
// latent rows themselves.
type mla struct {
	rank    int // 0: by the head dimension
	rope    string
	ropeDim int // 0: by the head dimension
	pairs   string
	balance float64
}

var (
	_ fitter = mla{}
	_ tuner  = mla{}
)

func newMLA(a Args) (Method, error) {
	m := mla{rank: a.Int("rank"), rope: a["rope"], ropeDim: a.Int("rope_dim"), pairs: a["pairs"], balance: a.Real("balance")}
	kept := m.rope == "decoupled" || m.rope == "partial"
	switch {
	case a.Given("rope_dim") && !kept:
		return nil, fmt.Errorf("rope_dim=%s: only rope=decoupled and rope=partial keep the embedding on some dimensions", a["rope_dim"])
	case m.ropeDim%2 == 1:
		return nil, fmt.Errorf("rope_dim=%d: want an even number, the embedding turns pairs", m.ropeDim)
	case m.pairs != "high" && m.rope != "partial":
		return nil, fmt.Errorf("pairs=%s: only rope=partial chooses pairs", m.pairs)
	}
	return m, nil
}

// sizes resolves the defaults: 4.5 head dimensions stored per token, as a native model has.
func (m mla) sizes(c Cell) (rank, ropeDim int) {
	d := c.HeadDim
	rank, ropeDim = m.rank, m.ropeDim
	switch m.rope {
	case "decoupled":
		if ropeDim == 0 {
			ropeDim = max(2, d/4*2)
		}
		if rank == 0 {
			rank = 4 * d
		}
	case "partial":
		if ropeDim == 0 {
			ropeDim = max(2, d/16*2)
		}
		if rank == 0 {
			rank = max(d, 4*d+d/2-c.Heads*ropeDim)
		}
	default:
		if rank == 0 {
			rank = 4*d + d/2
		}
	}
	return rank, ropeDim
}

// stored is how many channels a token's row has.
func (m mla) stored(c Cell) int {
	rank, ropeDim := m.sizes(c)
	if m.rope == "partial" {
		return rank + c.Heads*ropeDim
	}
	return rank + ropeDim
}

// settings are the ranks that save something.
func (m mla) settings(c Cell) []string {
	rank, _ := m.sizes(c)
	return integers(1, c.Heads*(c.Dim+c.VDim)-(m.stored(c)-rank)-1)
}

// Fit refuses a latent that saves nothing, but for the full rank, which is exact, and forms that undo the
// rotary embedding where there is none to undo.
func (m mla) Fit(c Cell) (Cell, error) {
	rank, ropeDim := m.sizes(c)
	full := c.Heads * (c.Dim + c.VDim)
	stored := m.stored(c)
	switch {
	case m.rope != "post" && !c.HasRope:
		return c, fmt.Errorf("rope=%s %w", m.rope, errRope)
	case ropeDim > c.RopeDims:
		return c, fmt.Errorf("rope_dim=%d is more than the %d dimensions that are rotated", ropeDim, c.RopeDims)
	case stored >= full && !(rank == full && ropeDim == 0):
		return c, fmt.Errorf("%d stored values per token are not fewer than %d", stored, full)
	}
	c.Heads, c.Dim, c.VDim, c.Folded, c.HasRope, c.Latent = 1, stored, rank, true, false, true
	c.Rebuilt = m.rope == "pre"
	return c, nil
}

// Decide is not called: the basis is always fitted.
func (m mla) Decide(c Cell, v *cache.View) (cache.Decision, error) { return m.fitMap(c, v) }

// size is that of the shape.
func (mla) size(Cell, []int, *cache.Size) error { return nil }

// fits says that the basis is fitted.
func (mla) fits() bool { return true }

// fitMap fits the basis.
func (m mla) fitMap(c Cell, on *cache.View) (cache.Decision, error) {
	rank, ropeDim := m.sizes(c)
	var d cache.Decision
	switch m.rope {
	case "post":
		d.Map = newAbsorbed(on, on.K, rank, m.balance)
	case "pre":
		d.Map = newRebuilt(on, rank, m.balance)
	case "partial":
		d.Map = newSplitRope(on, partialDims(on, ropeDim, m.pairs), nil, rank, m.balance)
	default:
		mix := mixing(on)
		d.Map = newSplitRope(on, decoupledDims(on, mix, ropeDim), mix, rank, m.balance)
	}
	d.Weights = 2 * int64(rank) * int64(on.Heads()*(on.Dim+on.VDim))
	if on.Rows(0) < rank {
		d.Warnings = []cache.Warning{{
			Code: "underdetermined",
			Text: fmt.Sprintf("the basis of rank %d was fitted on %d tokens: the rest of it is zero", rank, on.Rows(0)),
		}}
	}
	return d, nil
}

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
		if kn, vn := spectral.MeanNorm(spectral.Matrix(k)), spectral.MeanNorm(spectral.Matrix(v)); kn > 0 && vn > 0 {
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

// key is [rank][hi-lo]: it makes a query of the keys' channels lo to hi one of latent rows.
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

// value is [hi-lo][rank]: it makes a weighted sum of latent rows one of the values' channels lo to hi.
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

// Buffers is the encoder.
func (m latentRow) Buffers(dst [][]byte) [][]byte { return cache.MatrixBuffers(dst, m.encoder) }

// newAbsorbed is the map of rope=post: the keys go into the latent as they are cached, which needs nothing
// of the rotary embedding and is the best linear code of that rank for what a cache holds.
func newAbsorbed(on *cache.View, keys [][]float32, rank int, balance float64) cache.Linear {
	b := newBasis(sideBySide(keys, on.Dim, 1), sideBySide(on.V, on.VDim, 1), rank, balance)
	var key, value []cache.Matrix
	for j := range on.Heads() {
		key = append(key, b.key(j*on.Dim, (j+1)*on.Dim))
		value = append(value, b.value(j*on.VDim, (j+1)*on.VDim))
	}
	return absorbed(b.encoder(), on, key, value)
}

// rebuilt is the map of rope=pre: the keys go into the latent before the rotary embedding, which
// concentrates their energy, and every step rebuilds and rotates the key of every entry.
type rebuilt struct {
	latentRow
	upProjection
	rope kernel.Rope
}

var _ cache.Rebuild = rebuilt{}

func newRebuilt(on *cache.View, rank int, balance float64) rebuilt {
	b := newBasis(sideBySide(unrotated(on), on.Dim, 1), sideBySide(on.V, on.VDim, 1), rank, balance)
	var up, value []cache.Matrix
	for j := range on.Heads() {
		up = append(up, transposed(b.key(j*on.Dim, (j+1)*on.Dim)))
		value = append(value, b.value(j*on.VDim, (j+1)*on.VDim))
	}
	return rebuilt{b.encoder(), newUpProjection(on, on.Heads(), up, value), on.Rope}
}

// Row encodes the keys as they were before the rotary embedding.
func (m rebuilt) Row(pos int, k, v, dstK, _ [][]float32) {
	for j, head := range k {
		plain := m.side[j*m.dim : (j+1)*m.dim]
		copy(plain, head)
		m.rope.Rotate(plain, -float64(pos))
	}
	m.encode(len(k)*m.dim, v, dstK[0])
}

// Rows encodes the keys as they were before the rotary embedding.
func (m rebuilt) Rows(pos []int32, k, v, dstK, dstV [][]float32) {
	plain := make([][]float32, len(k))
	for j, head := range k {
		plain[j] = unrotatedHead(m.rope, head, pos)
	}
	m.latentRow.Rows(pos, plain, v, dstK, dstV)
}

// Buffers is the matrices of keys, values and the encoder.
func (m rebuilt) Buffers(dst [][]byte) [][]byte { return m.buffers(m.latentRow.Buffers(dst)) }
