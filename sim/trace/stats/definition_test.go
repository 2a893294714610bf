package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/trace"
)

// unequal are layers that have every field of trace.Attention between them, alone and in pairs.
func unequal() []trace.Attention {
	rope := trace.Rope{Style: "neox", Dims: 4, InvFreq: []float64{1, 0.1}}
	return []trace.Attention{
		{QHeads: 2, KVHeads: 1, QKDim: 6, VDim: 6, Scale: 0.4, RopeFactor: 1},
		{QHeads: 2, KVHeads: 1, QKDim: 6, VDim: 6, Scale: 0.4, RopeFactor: 1.2, Window: 20, Rope: rope},
		{QHeads: 2, KVHeads: 1, QKDim: 6, VDim: 4, Scale: 0.4, RopeFactor: 1, Chunk: 24, Rope: rope},
		{QHeads: 4, KVHeads: 2, QKDim: 6, VDim: 9, Scale: 0.3, RopeFactor: 1, Sinks: []float64{1, 3, -2, 0}},
		{QHeads: 4, KVHeads: 4, QKDim: 5, VDim: 9, Scale: 0.7, RopeFactor: 1, Softcap: 1.5, Window: 1},
		{QHeads: 4, KVHeads: 4, QKDim: 5, VDim: 9, Scale: 0.7, RopeFactor: 1, Softcap: 2, Window: 30, Chunk: 25},
		{QHeads: 2, KVHeads: 2, QKDim: 7, VDim: 3, Scale: 0.5, RopeFactor: 1, ALiBi: []float64{0.2, 0.05}, Window: 70, Sinks: []float64{2, 1}},
	}
}

// uneven are rows of unequal, [tokens][dim] for each layer, kind and head, and the keys before their embedding.
type uneven struct {
	attention []trace.Attention
	rows, raw map[string][][]float64
}

func newUneven(tokens, offset int) *uneven {
	u := &uneven{unequal(), map[string][][]float64{}, map[string][][]float64{}}
	rng := rand.New(rand.NewPCG(3, 4))
	for layer, a := range u.attention {
		for _, part := range []struct {
			kind       string
			heads, dim int
		}{{"q", a.QHeads, a.QKDim}, {"k", a.KVHeads, a.QKDim}, {"v", a.KVHeads, a.VDim}} {
			for h := range part.heads {
				at := place(layer, part.kind, h)
				for i := range tokens {
					x := make([]float64, part.dim)
					for c := range x {
						x[c] = float64(float32(0.3 + rng.NormFloat64()*math.Exp(-0.2*float64(c))))
					}
					u.raw[at] = append(u.raw[at], x)
					if part.kind == "k" {
						x = embed(x, a, i+offset)
					}
					u.rows[at] = append(u.rows[at], x)
				}
			}
		}
	}
	return u
}

func place(layer int, kind string, head int) string { return fmt.Sprint(layer, kind, head) }

// embed rotates a key as a neox embedding does and lengthens what it rotates.
func embed(x []float64, a trace.Attention, position int) []float64 {
	x = slices.Clone(x)
	for p, w := range a.Rope.InvFreq {
		sin, cos := math.Sincos(w * float64(position))
		i, j := p, p+len(a.Rope.InvFreq)
		x[i], x[j] = float64(float32(a.RopeFactor*(x[i]*cos-x[j]*sin))), float64(float32(a.RopeFactor*(x[i]*sin+x[j]*cos)))
	}
	return x
}

// subject is the trace of the rows.
func (u *uneven) subject(tokens, offset int) *subject {
	s := shaped(tokens, tokens, u.attention, func(layer int, kind string, head, token int) []float32 {
		var row []float32
		for _, x := range u.rows[place(layer, kind, head)][token] {
			row = append(row, float32(x))
		}
		return row
	})
	s.PositionOffset = offset
	return s
}

// probabilities are those of the keys that a query reads, by the definition, and that of the sink.
func (u *uneven) probabilities(layer, head, token int) (p []float64, sink float64) {
	a := u.attention[layer]
	q, k := u.rows[place(layer, "q", head)][token], u.rows[place(layer, "k", head*a.KVHeads/a.QHeads)]
	var total float64
	for i := range token + 1 {
		var x float64
		for c := range q {
			x += q[c] * k[i][c]
		}
		x *= a.Scale
		if a.Softcap > 0 {
			x = a.Softcap * math.Tanh(x/a.Softcap)
		}
		if a.ALiBi != nil {
			x -= a.ALiBi[head] * float64(token-i)
		}
		x = math.Exp(x)
		if a.Window > 0 && token-i >= a.Window || a.Chunk > 0 && i/a.Chunk != token/a.Chunk {
			x = 0
		}
		p, total = append(p, x), total+x
	}
	if a.Sinks != nil {
		sink = math.Exp(a.Sinks[head])
		total += sink
	}
	for i := range p {
		p[i] /= total
	}
	return p, sink / total
}

// average is the mean over a layer's heads and the second half of the queries.
func (u *uneven) average(layer, tokens int, figure func(p []float64, sink float64) float64) float64 {
	var total float64
	heads := u.attention[layer].QHeads
	for h := range heads {
		for token := tokens / 2; token < tokens; token++ {
			total += figure(u.probabilities(layer, h, token))
		}
	}
	return total / float64(heads*(tokens-tokens/2))
}

func bitsOf(p []float64) (bits float64) {
	for _, x := range p {
		if x > 0 {
			bits -= x * math.Log2(x)
		}
	}
	return bits
}

// TestAttentionByDefinition: windows, chunks, sinks, soft caps, ALiBi, and unequal heads and widths.
func TestAttentionByDefinition(t *testing.T) {
	const tokens = 96
	u := newUneven(tokens, 3)
	tr := u.subject(tokens, 3)
	tr.Needles = []trace.Needle{{Layer: 1, Key: 60, Query: 70}, {Layer: 1, Key: 3, Query: 70}, {Layer: 3, KVHead: 1, Key: 5, Query: 80}}
	s := statsOf(t, tr, Options{Threads: 2})
	for layer := range u.attention {
		f := s.Layers[layer].Figures
		for what, tt := range map[string]struct {
			got    *float64
			figure func(p []float64, sink float64) float64
		}{
			"sink":    {f.SinkMass, func(p []float64, _ float64) float64 { return p[0] }},
			"sink4":   {f.Sink4Mass, func(p []float64, _ float64) float64 { return sum(p[:4]) }},
			"entropy": {f.EntropyBits, func(p []float64, sink float64) float64 { return bitsOf(append(p, sink)) }},
			"local":   {f.LocalMass, func(p []float64, _ float64) float64 { return sum(p[max(0, len(p)-64):]) }},
			"heavy": {f.HeavyMass, func(p []float64, _ float64) float64 {
				slices.Sort(p)
				return sum(p[len(p)-32:])
			}},
		} {
			near(t, fmt.Sprintf("layer %d: %s", layer, what), *tt.got, u.average(layer, tokens, tt.figure))
		}
		if layer > 0 {
			near(t, fmt.Sprintf("layer %d: similarity", layer), *f.AttentionSimilarity, u.similarity(layer, tokens))
		}
	}
	needle := func(layer, head, key, query int) float64 { p, _ := u.probabilities(layer, head, query); return p[key] }
	near(t, "needles, one of which has left the window", *s.Layers[1].NeedleMass, (needle(1, 0, 60, 70)+needle(1, 1, 60, 70))/4)
	near(t, "needle beside a sink", *s.Layers[3].NeedleMass, (needle(3, 2, 5, 80)+needle(3, 3, 5, 80))/2)
}

// similarity is the mean cosine of a layer's attention and that of the layer before.
func (u *uneven) similarity(layer, tokens int) float64 {
	rows := func(layer, token int) []float64 {
		mean := make([]float64, token+1)
		for h := range u.attention[layer].QHeads {
			p, _ := u.probabilities(layer, h, token)
			for i := range p {
				mean[i] += p[i]
			}
		}
		return mean
	}
	var total float64
	for token := tokens / 2; token < tokens; token++ {
		cos, _ := cosine(rows(layer, token), rows(layer-1, token))
		total += cos
	}
	return total / float64(tokens-tokens/2)
}

// TestReturnsByDefinition: 1/t counts the keys that a query reads, and what it does not read is not important.
func TestReturnsByDefinition(t *testing.T) {
	const tokens = 150
	u := newUneven(tokens, 0)
	s := statsOf(t, u.subject(tokens, 0), Options{Returns: true, Threads: 2})
	for layer, a := range u.attention {
		var events, over64, important int
		var mass, late float64
		for h := range a.QHeads {
			last := make([]int, tokens)
			for token := range tokens {
				last[token] = token
				p, _ := u.probabilities(layer, h, token)
				read := 0
				for _, x := range p {
					if x > 0 {
						read++
					}
				}
				for i, x := range p {
					if x == 0 || x < 1/float64(read)-1e-12 {
						continue
					}
					important, mass = important+1, mass+x
					if i == token {
						continue
					}
					events++
					if token-last[i] > 64 {
						over64, late = over64+1, late+x
					}
					last[i] = token
				}
			}
		}
		r, n := s.Layers[layer].Returns, float64(a.QHeads*tokens)
		if r.Events != events || float64(r.Queries) != n || r.Unknown != 0 {
			t.Errorf("layer %d: %d events of %d queries, %d unknown; want %d of %g", layer, r.Events, r.Queries, r.Unknown, events, n)
		}
		near(t, "keys", r.ImportantKeys, float64(important)/n)
		near(t, "mass", r.ImportantMass, mass/n)
		near(t, "mass over 64", r.MassOver64, late/n)
		if events > 0 {
			near(t, "events over 64", *r.EventsOver64, float64(over64)/float64(events))
		}
		if a.Window == 1 && (events != 0 || r.ImportantKeys != 1 || r.EventsOver64 != nil) {
			t.Errorf("layer %d: a query that reads its own key alone: %+v", layer, r)
		}
	}
}

// matrix is rows of all heads side by side.
func matrix(rows map[string][][]float64, layer int, kind string, heads int) *mat.Dense {
	n, dim := len(rows[place(layer, kind, 0)]), len(rows[place(layer, kind, 0)][0])
	m := mat.NewDense(n, heads*dim, nil)
	for h := range heads {
		for i, row := range rows[place(layer, kind, h)] {
			copy(m.RawRowView(i)[h*dim:], row)
		}
	}
	return m
}

// joined is [K/rho | V] with a rho that balances the two.
func joined(k, v *mat.Dense) *mat.Dense {
	var scaled, x mat.Dense
	scaled.Scale(columnNorm(v)/columnNorm(k), k)
	x.Augment(&scaled, v)
	return &x
}

// TestRowsByDefinition: each spectrum has its own width, and only layers alike in shape stand in for each other.
func TestRowsByDefinition(t *testing.T) {
	const tokens = 140
	u := newUneven(tokens, 3)
	s := statsOf(t, u.subject(tokens, 3), Options{Threads: 2})
	for layer, a := range u.attention {
		f := s.Layers[layer].Figures
		k, pre, v := matrix(u.rows, layer, "k", a.KVHeads), matrix(u.raw, layer, "k", a.KVHeads), matrix(u.rows, layer, "v", a.KVHeads)
		agrees(t, f.Spectra.KeyPost, k)
		agrees(t, f.Spectra.Value, v)
		agrees(t, f.Spectra.JointPost, joined(k, v))
		if a.Rope.InvFreq == nil {
			if f.Spectra.KeyPre != nil || f.Spectra.JointPre != nil {
				t.Errorf("layer %d: keys before an embedding that there is not", layer)
			}
		} else {
			agrees(t, f.Spectra.KeyPre, pre)
			agrees(t, f.Spectra.JointPre, joined(pre, v))
		}
		near(t, fmt.Sprintf("layer %d: key drift", layer), *f.KeyCosine64, drift(pre, a.QKDim))
		near(t, fmt.Sprintf("layer %d: value drift", layer), *f.ValueCosine64, drift(v, a.VDim))
		if layer == 0 {
			continue
		}
		before := u.attention[layer-1]
		near(t, fmt.Sprintf("layer %d: CKA", layer), *f.ValueSimilarity, cka(v, matrix(u.rows, layer-1, "v", before.KVHeads)))
		switch {
		case !a.Same(&before):
			if f.Adjacent != (Adjacent{}) {
				t.Errorf("layer %d is mapped from one of another shape: %+v", layer, f.Adjacent)
			}
		case f.KeyMapVariance == nil || f.ValueMapVariance == nil:
			t.Errorf("layer %d is alike in shape and not mapped", layer)
		default:
			near(t, fmt.Sprintf("layer %d: key residual", layer), *f.KeyResidual, residual(matrix(u.raw, layer-1, "k", before.KVHeads), pre))
		}
	}
	if s.KVDims != 36 {
		t.Errorf("the widest rows are %d wide, want 36", s.KVDims)
	}
	mean := s.Mean.Spectra.Value // of widths 6, 6, 4, 18, 36, 36 and 6
	if !slices.Equal(mean.Ranks, []int{1, 2, 4, 8, 16, 32, 36}) {
		t.Fatalf("ranks of the mean: %v", mean.Ranks)
	}
	var at8 float64
	for layer := range u.attention {
		at8 += 1.0 / 7
		if v := s.Layers[layer].Spectra.Value; v.width() > 8 {
			at8 += (v.Energy[3] - 1) / 7
		}
	}
	near(t, "mean energy of 8 directions", mean.Energy[3], at8)
	near(t, "mean energy of all", mean.Energy[6], 1)
}

// drift is the mean cosine of rows 64 apart, less the mean row, of each head of a width.
func drift(x *mat.Dense, dim int) float64 {
	n, width := x.Dims()
	centre := columnMeans(x)
	var m mean
	for left := 0; left < width; left += dim {
		for i := range n - 64 {
			a, b := slices.Clone(x.RawRowView(i)[left:left+dim]), slices.Clone(x.RawRowView(i + 64)[left:left+dim])
			for c := range dim {
				a[c] -= centre[left+c]
				b[c] -= centre[left+c]
			}
			m.add(cosine(a, b))
		}
	}
	return *m.value()
}

// cka is linear CKA by its definition, with matrices of gonum.
func cka(x, y *mat.Dense) float64 {
	product := func(x, y *mat.Dense) float64 {
		var p mat.Dense
		p.Mul(x.T(), y)
		return mat.Norm(&p, 2)
	}
	x, y = center(x).x, center(y).x
	xy := product(x, y)
	return xy * xy / (product(x, x) * product(y, y))
}

// residual is |Y - X| / |Y| of the second half of the rows.
func residual(x, y *mat.Dense) float64 {
	n, width := y.Dims()
	var d mat.Dense
	d.Sub(y, x)
	return mat.Norm(d.Slice(n/2, n, 0, width), 2) / mat.Norm(y.Slice(n/2, n, 0, width), 2)
}
