package stats

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/kernel"
	"kvgauge/sim/spectral"
	"kvgauge/sim/trace"
)

// energyRows bounds the rows that enter a Gram matrix; more are thinned evenly to this many.
const energyRows = 4096

// layerRows are the rows that the comparison with the next layer needs, [tokens or energyRows][heads*dim].
type layerRows struct {
	shape    *trace.Attention
	keys     *mat.Dense // without rotary embedding
	values   *mat.Dense
	centered *centered // values
}

// measureRows fills in the rank and drift of keys and values.
func measureRows(t *trace.Header, a *trace.Attention, l *trace.Layer, o Options, pool *kernel.Pool, f *Figures) (*layerRows, error) {
	heads, dims := [][][]float32{l.V, l.K}, []int{a.ValueDim(), a.KeyDim(), a.KeyDim()}
	unrotated := l.K
	if len(a.Rope.InvFreq) > 0 {
		unrotated = unrotate(t, a, l, o.Tokens, pool)
		heads = append(heads, unrotated)
	}
	inputs := make([]*mat.Dense, len(heads))
	pool.Run(len(heads), func(_, i int) { inputs[i] = sideBySide(heads[i], o.Tokens, dims[i]) })
	v, k := inputs[0], inputs[len(inputs)-1]
	rows := &layerRows{shape: a, keys: k, values: v}

	grams := make([]rowGrams, len(inputs))
	var tasks []func()
	for i := len(inputs) - 1; i >= 0; i-- { // keys, which take longer, come first
		tasks = append(tasks, func() { grams[i] = gramsOf(inputs[i], k, v) })
	}
	together(pool, append(tasks,
		func() { rows.centered = center(v) },
		func() { f.KeyCosine64 = driftCosine(unrotated, o.Tokens, a.KeyDim()) },
		func() { f.ValueCosine64 = driftCosine(l.V, o.Tokens, a.ValueDim()) }))
	var err error
	if f.Spectra, err = measureSpectra(grams, o.Unbalanced, pool); err != nil {
		return nil, err
	}
	if s := f.Spectra.KeyPost; s != nil {
		f.KeyDims = s.Dims90
	}
	if s := f.Spectra.Value; s != nil {
		f.ValueDims = s.Dims90
	}
	return rows, nil
}

// unrotate returns the keys [kv_head][tokens*KeyDim] as they were before the rotary embedding, its factor
// taken out of their lengths.
func unrotate(t *trace.Header, a *trace.Attention, l *trace.Layer, tokens int, pool *kernel.Pool) [][]float32 {
	rope, width := a.KernelRope(), a.KeyDim()
	keys := make([][]float32, a.KVHeads)
	pool.Run(len(keys), func(_, j int) {
		keys[j] = slices.Clone(l.K[j])
		for i := range tokens {
			row := keys[j][i*width : (i+1)*width]
			rope.Rotate(row, -float64(i+t.PositionOffset))
			if a.RopeFactor != 1 {
				shorten(row, rope, a.RopeFactor)
			}
		}
	})
	return keys
}

// shorten divides the rotated channels of a row by a factor.
func shorten(row []float32, rope kernel.Rope, factor float64) {
	for p := range rope.InvFreq {
		i, j := rope.Pair(p)
		row[i], row[j] = float32(float64(row[i])/factor), float32(float64(row[j])/factor)
	}
}

// sideBySide returns rows of all heads joined, [tokens or energyRows][heads*dim].
func sideBySide(heads [][]float32, tokens, dim int) *mat.Dense {
	n, width := min(tokens, energyRows), len(heads)*dim
	m := mat.NewDense(n, width, nil)
	for i := range n {
		row, token := m.RawRowView(i), i*tokens/n
		for j, h := range heads {
			for c, x := range h[token*dim : (token+1)*dim] {
				row[j*dim+c] = float64(x)
			}
		}
	}
	return m
}

// driftCosine is the mean cosine of rows driftTokens apart, less the head's mean row.
func driftCosine(heads [][]float32, tokens, dim int) *float64 {
	var m mean
	a, b := make([]float64, dim), make([]float64, dim)
	for _, rows := range heads {
		centre := make([]float64, dim)
		for i, x := range rows[:tokens*dim] {
			centre[i%dim] += float64(x) / float64(tokens)
		}
		for i := range max(0, tokens-driftTokens) {
			for c := range dim {
				a[c] = float64(rows[i*dim+c]) - centre[c]
				b[c] = float64(rows[(i+driftTokens)*dim+c]) - centre[c]
			}
			m.add(cosine(a, b))
		}
	}
	return m.value()
}

// centered is a layer's values less their mean row, and the Frobenius norm of their Gram matrix.
type centered struct {
	x    *mat.Dense
	norm float64
}

// center returns a copy less the mean row.
func center(x *mat.Dense) *centered {
	n, _ := x.Dims()
	means, y := columnMeans(x), mat.DenseCopyOf(x)
	for i := range n {
		row := y.RawRowView(i)
		for c := range row {
			row[c] -= means[c]
		}
	}
	g := spectral.Gram(spectral.Matrix(y))
	var squares float64 // the upper triangle stands for the lower one too
	for i := range g.N {
		for c, x := range g.Upper(i) {
			squares += float64(1+min(1, c)) * x * x
		}
	}
	return &centered{y, math.Sqrt(squares)}
}

// similarity is linear CKA: |X^T Y|^2 / (|X^T X| |Y^T Y|), in Frobenius norms.
func (c *centered) similarity(before *centered) *float64 {
	if c.norm == 0 || before.norm == 0 {
		return nil
	}
	g := spectral.Product(spectral.Matrix(c.x), spectral.Matrix(before.x))
	s := mat.Norm(spectral.Dense(g), 2)
	s = s * s / (c.norm * before.norm)
	return &s
}
